#include <algorithm>

#include "base/limits.h"
#include "server/scheduler/core.h"

namespace bsnn::scheduler {

Snapshot Core::TakeSnapshot(Instant now) const {
  Snapshot snapshot;
  snapshot.counters = counters_;
  snapshot.jobs = jobs_by_state_;
  for (const auto& [id, worker] : workers_) {
    if (worker.lost) {
      ++snapshot.workers_lost;
      continue;
    }
    ++(worker.draining ? snapshot.workers_draining : snapshot.workers_online);
    snapshot.heartbeat_age_seconds_max = std::max(
        snapshot.heartbeat_age_seconds_max, absl::ToDoubleSeconds(now.steady - worker.last_seen));
    for (const store::Slot& slot : worker.record.slots) {
      const auto device = static_cast<size_t>(slot.device);
      ++snapshot.slots[device];
      if (worker.used.contains(slot.index)) ++snapshot.slots_used[device];
    }
  }
  size_t left = base::kJobSeriesExposedMax;
  for (const int64_t sequence : exposed_) {
    const Job& job = jobs_.at(sequence);
    JobSample sample;
    sample.job = job.record.id;
    sample.display_name = job.record.display_name;
    sample.state = job.status().state;
    sample.restart_count = job.status().restart_count;
    sample.progress = job.status().progress;
    sample.series = job.series;
    sample.values_begin = snapshot.values.size();
    sample.series_shown = std::min(left, job.values.size());
    left -= sample.series_shown;
    snapshot.series_dropped += static_cast<int64_t>(job.values.size() - sample.series_shown);
    snapshot.values.insert(snapshot.values.end(), job.values.begin(),
                           job.values.begin() + static_cast<ptrdiff_t>(sample.series_shown));
    snapshot.samples.push_back(std::move(sample));
  }
  return snapshot;
}

}  // namespace bsnn::scheduler
