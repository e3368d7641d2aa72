/// The newest value of every metric series of the jobs that /metrics shows.
///
/// Telemetry is no part of the scheduler's state and never waits for its lock: a batch of events is
/// admitted before the scheduler sees it (Admit: which points are within the job's limit of
/// series), and stored after the scheduler has accepted it (Store). A scrape copies values job by
/// job.
///
/// Thread-safe: one lock for the table of jobs, one for each job's values. Lock order: the table,
/// then a job; neither is held while another module is called.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "server/store/records.h"
#include "spec/event.h"

namespace bsnn::telemetry {

/// Identity of a series within its job.
struct SeriesKey {
  std::string name;
  std::string layer;
  std::string split;
  int32_t time_step = -1;
  auto operator<=>(const SeriesKey&) const = default;
};

/// How /metrics shows a series.
enum class Shown {
  kNot,     ///< only the history has it
  kPooled,  ///< one of few for each job, such as its accuracy: shown first
  kDetail,  ///< by layer: shown where there is room
};

/// One series of a job at the moment of a scrape.
struct SeriesSample {
  std::shared_ptr<const SeriesKey> key;  ///< never null; the same object for the job's whole life
  double value = 0;                      ///< of the newest step that was stored
};

/// One job of a scrape.
struct JobSample {
  base::JobId job;
  std::string display_name;
  store::JobProgress progress;       ///< of the newest report
  std::vector<SeriesSample> series;  ///< pooled ones before detail
};

struct Sample {
  std::vector<JobSample> jobs;  ///< in the order in which they were first exposed
  int64_t series_dropped = 0;   ///< series that are shown elsewhere, but had no room here
};

class Telemetry {
 public:
  struct Options {
    int series_per_job_max = 0;  ///< further series of a job are not admitted
    std::function<Shown(const SeriesKey&)> classify;
  };

  explicit Telemetry(Options options);
  ~Telemetry();

  /// Shows the job from now on; its values stay where it is shown already.
  void Expose(const base::JobId& job, const std::string& display_name);
  /// Forgets the job at the steady time `at`, in the first TakeSample after it.
  void ReleaseAt(const base::JobId& job, absl::Duration at);
  /// Forgets the job now: it was deleted.
  void Release(const base::JobId& job);

  /// For each event, whether it may be taken: false only for a point of a series beyond the job's
  /// limit. Every event of a job that is not exposed may be taken.
  std::vector<bool> Admit(const base::JobId& job, const std::vector<spec::Event>& events);

  /// The scheduler has accepted events [first, end) of attempt `epoch`. Values and progress that a
  /// later call has stored already stay: two calls may come in either order.
  void Store(const base::JobId& job, int32_t epoch, const std::vector<spec::Event>& events,
             size_t first);

  /// Newest points of before a restart.
  void Restore(const base::JobId& job, const std::vector<spec::MetricPoint>& points,
               const store::JobProgress& progress);

  /// Pooled series of all jobs first, then detail, `series_max` at most in all. `now` is steady.
  Sample TakeSample(absl::Duration now, size_t series_max);

 private:
  struct Job;
  std::shared_ptr<Job> FindJob(const base::JobId& job) const;

  const Options options_;
  mutable absl::Mutex mutex_;
  // Shared: a scrape or a Store goes on with a job that is released meanwhile.
  std::unordered_map<base::JobId, std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);
  int64_t exposures_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bsnn::telemetry
