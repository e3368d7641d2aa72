/// What /metrics shows: counts of the coordinator, and the newest value of each series of each job.
///
/// A Snapshot is taken under the scheduler's lock by copying flat arrays (counts and doubles) and
/// sharing the immutable label tables; formatting it needs no lock. A job's label table is replaced
/// by a longer one when a series appears, never changed.
#pragma once

#include <absl/time/time.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/scheduler/types.h"

namespace bsnn::scheduler {

/// Identity of a series within its job.
struct SeriesKey {
  std::string name;
  std::string layer;
  std::string split;
  int32_t time_step = -1;
  auto operator<=>(const SeriesKey&) const = default;
};

/// In the order of their first points. Immutable.
using SeriesTable = std::vector<SeriesKey>;

inline constexpr int kJobStates = 12;      ///< one past the largest JobState
inline constexpr int kFailureClasses = 8;  ///< one past the largest FailureClass
inline constexpr int kDevices = 3;         ///< one past the largest spec::Device

/// Counts since the program started; they only grow.
struct Counters {
  int64_t jobs_created = 0;
  std::array<int64_t, kJobStates> transitions{};    ///< by the state entered
  std::array<int64_t, kFailureClasses> restarts{};  ///< by what ended the attempt before
  std::array<int64_t, kFailureClasses> failures{};  ///< jobs that ended FAILED or EXPIRED
  int64_t attempts = 0;
  int64_t leases_expired = 0;
  int64_t events = 0;  ///< taken, repeats not counted
  int64_t events_repeated = 0;
  int64_t events_fenced = 0;  ///< batches refused for an old epoch
  int64_t metric_points = 0;
  int64_t metric_points_dropped = 0;  ///< beyond the limits of a job
  int64_t log_lines = 0;
  int64_t checkpoints = 0;
  int64_t checkpoint_bytes = 0;
  int64_t queue_waits = 0;        ///< placements
  double queue_wait_seconds = 0;  ///< sum over the placements, back-off not counted
};

/// One job on /metrics: live, or ended at most Options::series_linger ago.
struct JobSample {
  base::JobId job;
  std::string display_name;
  store::JobState state = store::JobState::kQueued;
  int32_t restart_count = 0;
  store::JobProgress progress;
  std::shared_ptr<const SeriesTable> series;  ///< never null
  size_t values_begin = 0;  ///< its values are Snapshot::values[values_begin + i], i < series_shown
  size_t series_shown = 0;  ///< fewer than series->size() once kJobSeriesExposedMax is reached
};

struct Snapshot {
  Counters counters;
  std::array<int64_t, kJobStates> jobs{};  ///< by state
  int64_t workers_online = 0;
  int64_t workers_draining = 0;
  int64_t workers_lost = 0;
  double heartbeat_age_seconds_max = -1;  ///< of workers that are not lost; -1 where there is none
  std::array<int64_t, kDevices> slots{};  ///< by device, of workers that are not lost
  std::array<int64_t, kDevices> slots_used{};
  std::vector<JobSample> samples;
  std::vector<double> values;
  int64_t series_dropped = 0;  ///< series that were left out of this snapshot
};

}  // namespace bsnn::scheduler
