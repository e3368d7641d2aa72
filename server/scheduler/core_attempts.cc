#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"
#include "server/scheduler/core.h"

namespace bsnn::scheduler {

ReadyQueue::Entry Core::EntryOf(const Job& job) const {
  return {job.record.spec->scheduling.priority, job.record.sequence,
          job.record.spec->resources.device};
}

void Core::SetDue(Job& job, absl::Duration due) {
  job.due = due;
  if (due >= job.timer) return;  // the timer that is set will find the new time
  job.timer = due;
  SetTimer(due, job);
}

absl::Duration Core::HangLimit(const Job& job) const {
  const auto median = job.step_clock.MedianStep();
  return std::max(options_.hang_limit,
                  median ? *median * options_.hang_steps : absl::ZeroDuration());
}

void Core::Place(Instant now) {
  using spec::Device;
  while (true) {
    // The first job in the queue for which there is a slot; it takes a CUDA slot where it may.
    const Job* first = nullptr;
    Device on = Device::kAny;
    for (const Device device : {Device::kCuda, Device::kCpu}) {
      if (free_[static_cast<size_t>(device)].empty()) continue;
      const auto sequence = ready_.FirstFor(device);
      if (!sequence) continue;
      const Job& job = jobs_.at(*sequence);
      if (first != nullptr && !ReadyQueue::Before(EntryOf(job), EntryOf(*first))) continue;
      first = &job;
      on = device;
    }
    if (first == nullptr) return;
    Job& job = jobs_.at(first->record.sequence);
    const auto& free = free_[static_cast<size_t>(on)];
    auto slot = free.begin();
    // Not where it has just failed, if there is another place.
    if (!job.attempts.empty()) {
      const base::WorkerId& last = job.attempts.back().worker;
      const auto other =
          std::find_if(free.begin(), free.end(), [&](const auto& s) { return s.first != last; });
      if (other != free.end()) slot = other;
    }
    const auto [worker, index] = *slot;
    StartAttempt(now, job, workers_.at(worker), index);
  }
}

void Core::StartAttempt(Instant now, Job& job, Worker& worker, int32_t slot) {
  ++counters_.attempts;
  ++counters_.queue_waits;
  counters_.queue_wait_seconds += absl::ToDoubleSeconds(now.steady - job.ready_since);
  free_[static_cast<size_t>(DeviceOf(worker, slot))].erase({worker.record.id, slot});
  worker.used[slot] = job.record.sequence;

  store::AttemptRecord attempt;
  attempt.epoch = ++job.record.status.newest_epoch;
  attempt.worker = worker.record.id;
  attempt.incarnation = worker.record.incarnation;
  attempt.slot = slot;
  attempt.start_time = now.wall;
  if (job.attempts.size() == base::kAttemptsShownMax) job.attempts.pop_front();
  job.attempts.push_back(attempt);
  Write(job, store::PutAttempt{job.record.id, std::move(attempt)});
  job.step_clock.Restart();
  exposed_.insert(job.record.sequence);
  Enter(now, job, Trigger::kPlaced);
  SetDue(job, now.steady + options_.start_limit);
}

void Core::EndAttempt(Instant now, Job& job, FailureClass failure, std::string message) {
  store::AttemptRecord* attempt = job.live();
  BSNN_CHECK(attempt != nullptr);
  attempt->end_time = now.wall;
  attempt->failure_class = failure;
  attempt->message = base::Shorten(message, base::kErrorTextBytesMax);
  Write(job, store::PutAttempt{job.record.id, *attempt});
  const auto worker = workers_.find(attempt->worker);
  if (worker == workers_.end()) return;
  worker->second.used.erase(attempt->slot);
  FreeSlot(worker->second, attempt->slot);
}

void Core::LoseAttempt(Instant now, Job& job, FailureClass failure, const std::string& message) {
  EndAttempt(now, job, failure, message);
  if (job.status().state == JobState::kCancelling) {
    return EndJob(now, job, Trigger::kStopped, FailureClass::kNone, "cancelled; " + message);
  }
  const auto& scheduling = job.record.spec->scheduling;
  if (!IsRetryable(failure)) return EndJob(now, job, Trigger::kFailed, failure, message);
  if (job.status().restart_count >= scheduling.max_restarts) {
    return EndJob(now, job, Trigger::kFailed, failure,
                  fmt::format("{} (restarted {} times, which is scheduling.max_restarts)", message,
                              job.status().restart_count));
  }
  ++counters_.restarts[static_cast<size_t>(failure)];
  store::JobStatus& status = job.record.status;
  constexpr double kBackoffSecondsMax = 300;
  const double seconds =
      std::min(kBackoffSecondsMax,
               scheduling.restart_backoff_seconds * std::exp2(std::min(status.restart_count, 20)));
  ++status.restart_count;
  status.not_before = now.wall + absl::Seconds(seconds);
  status.message = base::Shorten(message, base::kErrorTextBytesMax);
  Enter(now, job, Trigger::kRetry);
  SetDue(job, now.steady + absl::Seconds(seconds));
}

void Core::ReturnAttempt(Instant now, Job& job, const std::string& message) {
  EndAttempt(now, job, FailureClass::kNone, message);
  job.record.status.message = base::Shorten(message, base::kErrorTextBytesMax);
  Enter(now, job, Trigger::kRetry);
  SetDue(job, now.steady + absl::Seconds(job.record.spec->scheduling.restart_backoff_seconds));
}

void Core::EndJob(Instant now, Job& job, Trigger trigger, FailureClass failure,
                  std::string message) {
  job.record.status.message = base::Shorten(message, base::kErrorTextBytesMax);
  if (trigger == Trigger::kFailed || trigger == Trigger::kExpired) {
    job.record.status.failure_class = failure;
    ++counters_.failures[static_cast<size_t>(failure)];
  }
  Enter(now, job, trigger);
}

}  // namespace bsnn::scheduler
