#include "server/telemetry/telemetry.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

namespace bsnn::telemetry {
namespace {

/// A key that owns nothing: looking up a point's series copies no text.
using KeyView = std::tuple<std::string_view, std::string_view, std::string_view, int32_t>;

template <class Key>  // SeriesKey or spec::MetricPoint
KeyView ViewOf(const Key& key) {
  return {key.name, key.layer, key.split, key.time_step};
}

/// Which of two reports is newer: by attempt, then by the number of its event.
struct Stamp {
  int32_t epoch = 0;
  int64_t sequence = 0;
  auto operator<=>(const Stamp&) const = default;
};

struct Series {
  std::shared_ptr<const SeriesKey> key;
  Shown shown = Shown::kNot;
  bool has_value = false;
  Stamp stamp;
  double value = 0;
};

}  // namespace

struct Telemetry::Job {
  Job(base::JobId job_id, std::string name, int64_t exposure)
      : id(std::move(job_id)), display_name(std::move(name)), order(exposure) {}

  const base::JobId id;
  const std::string display_name;
  const int64_t order;
  absl::Mutex mutex;
  absl::Duration release ABSL_GUARDED_BY(mutex) = absl::InfiniteDuration();
  store::JobProgress progress ABSL_GUARDED_BY(mutex);
  Stamp progress_stamp ABSL_GUARDED_BY(mutex);
  std::vector<Series> series ABSL_GUARDED_BY(mutex);
  std::map<KeyView, size_t> index ABSL_GUARDED_BY(mutex);  // into series; views of its keys

  /// The point's series, made where it is new; null where that were one too many.
  Series* FindSeries(const spec::MetricPoint& point, const Options& options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto found = index.find(ViewOf(point));
    if (found != index.end()) return &series[found->second];
    if (std::ssize(series) >= options.series_per_job_max) return nullptr;
    auto key = std::make_shared<const SeriesKey>(
        SeriesKey{point.name, point.layer, point.split, point.time_step});
    index.emplace(ViewOf(*key), series.size());
    Series added;
    added.shown = options.classify(*key);
    added.key = std::move(key);
    series.push_back(std::move(added));
    return &series.back();
  }

  /// Appends the series of `shown` that have a value, while `left` lasts; counts those without
  /// room.
  void AppendSeries(Shown shown, size_t& left, JobSample& sample, int64_t& dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (const Series& item : series) {
      if (item.shown != shown || !item.has_value) continue;
      if (left == 0) {
        ++dropped;
        continue;
      }
      --left;
      sample.series.push_back({item.key, item.value});
    }
  }
};

Telemetry::Telemetry(Options options) : options_(std::move(options)) {}
Telemetry::~Telemetry() = default;

void Telemetry::Expose(const base::JobId& job, const std::string& display_name) {
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<Job>& shown = jobs_[job];
  if (shown == nullptr) shown = std::make_shared<Job>(job, display_name, ++exposures_);
  absl::MutexLock job_lock(&shown->mutex);
  shown->release = absl::InfiniteDuration();
}

void Telemetry::ReleaseAt(const base::JobId& job, absl::Duration at) {
  const std::shared_ptr<Job> shown = FindJob(job);
  if (shown == nullptr) return;
  absl::MutexLock lock(&shown->mutex);
  shown->release = at;
}

void Telemetry::Release(const base::JobId& job) {
  absl::MutexLock lock(&mutex_);
  jobs_.erase(job);
}

std::shared_ptr<Telemetry::Job> Telemetry::FindJob(const base::JobId& job) const {
  absl::MutexLock lock(&mutex_);
  const auto found = jobs_.find(job);
  return found == jobs_.end() ? nullptr : found->second;
}

std::vector<bool> Telemetry::Admit(const base::JobId& job, const std::vector<spec::Event>& events) {
  std::vector<bool> admitted(events.size(), true);
  const std::shared_ptr<Job> shown = FindJob(job);
  if (shown == nullptr) return admitted;
  absl::MutexLock lock(&shown->mutex);
  for (size_t i = 0; i < events.size(); ++i) {
    const auto* point = std::get_if<spec::MetricPoint>(&events[i].kind);
    if (point != nullptr) admitted[i] = shown->FindSeries(*point, options_) != nullptr;
  }
  return admitted;
}

void Telemetry::Store(const base::JobId& job, int32_t epoch, const std::vector<spec::Event>& events,
                      size_t first) {
  const std::shared_ptr<Job> shown = FindJob(job);
  if (shown == nullptr) return;
  absl::MutexLock lock(&shown->mutex);
  for (size_t i = first; i < events.size(); ++i) {
    const spec::Event& event = events[i];
    const Stamp stamp{epoch, event.sequence};
    if (const auto* point = std::get_if<spec::MetricPoint>(&event.kind)) {
      Series* const series = shown->FindSeries(*point, options_);
      if (series == nullptr || (series->has_value && stamp < series->stamp)) continue;
      series->has_value = true;
      series->stamp = stamp;
      series->value = point->value;
    } else if (const auto* progress = std::get_if<spec::Progress>(&event.kind)) {
      if (stamp < shown->progress_stamp) continue;
      shown->progress_stamp = stamp;
      shown->progress = {progress->step,
                         progress->steps_total,
                         progress->epoch,
                         progress->epochs_total,
                         progress->images_per_second,
                         progress->eta_seconds,
                         event.time};
    }
  }
}

void Telemetry::Restore(const base::JobId& job, const std::vector<spec::MetricPoint>& points,
                        const store::JobProgress& progress) {
  const std::shared_ptr<Job> shown = FindJob(job);
  if (shown == nullptr) return;
  absl::MutexLock lock(&shown->mutex);
  shown->progress = progress;
  for (const spec::MetricPoint& point : points) {
    Series* const series = shown->FindSeries(point, options_);
    if (series == nullptr) continue;
    series->has_value = true;
    series->value = point.value;
  }
}

Sample Telemetry::TakeSample(absl::Duration now, size_t series_max) {
  std::vector<std::shared_ptr<Job>> jobs;
  {
    absl::MutexLock lock(&mutex_);
    std::erase_if(jobs_, [&](const auto& item) {
      absl::MutexLock job_lock(&item.second->mutex);
      return item.second->release <= now;
    });
    for (const auto& [id, job] : jobs_) jobs.push_back(job);
  }
  std::sort(jobs.begin(), jobs.end(),
            [](const auto& a, const auto& b) { return a->order < b->order; });
  Sample sample;
  for (const auto& job : jobs) {
    absl::MutexLock lock(&job->mutex);
    sample.jobs.push_back({job->id, job->display_name, job->progress, {}});
  }
  size_t left = series_max;
  for (const Shown shown : {Shown::kPooled, Shown::kDetail}) {
    for (size_t i = 0; i < jobs.size(); ++i) {
      absl::MutexLock lock(&jobs[i]->mutex);
      jobs[i]->AppendSeries(shown, left, sample.jobs[i], sample.series_dropped);
    }
  }
  return sample;
}

}  // namespace bsnn::telemetry
