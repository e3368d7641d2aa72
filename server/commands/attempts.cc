#include "server/commands/attempts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"

namespace bsnn::commands {
namespace {

using cluster::Job;
using Kind = TimerKey::Kind;

/// Takes the transition, which the table must have, in `status`.
void EnterState(Transaction& tx, const Job& job, store::JobStatus& status, Trigger trigger) {
  const std::optional<JobState> to = cluster::Next(status.state, trigger);
  BSNN_CHECK(to.has_value());
  ++tx.counters().transitions[static_cast<size_t>(*to)];
  status.state = *to;
  ++status.version;
  if (!cluster::IsFinal(*to)) return;
  status.end_time = tx.now().wall;
  const int64_t sequence = job.record.sequence;
  tx.sightings().overdue.erase(sequence);
  tx.timers().Clear({Kind::kDeadline, sequence});
  tx.timers().Clear({Kind::kBackOff, sequence});
}

std::string Cut(const std::string& message) {
  return base::Shorten(message, base::kErrorTextBytesMax);
}

/// Ends the live attempt and forgets what was seen of it.
void EndAttempt(Transaction& tx, const Job& job, FailureClass failure, const std::string& message) {
  BSNN_CHECK(job.live() != nullptr);
  tx.UpdateAttempt(job, [&](store::AttemptRecord& attempt) {
    attempt.end_time = tx.now().wall;
    attempt.failure_class = failure;
    attempt.message = Cut(message);
  });
  tx.timers().Clear({Kind::kAttempt, job.record.sequence});
  tx.sightings().attempts.erase(job.record.sequence);
}

/// How often a job has waited is measured from the latest of these.
absl::Time ReadySince(const Job& job) {
  absl::Time since = std::max(job.record.create_time, job.status().not_before);
  if (!job.attempts.empty()) since = std::max(since, job.attempts.back().end_time);
  return since;
}

/// Whether another attempt on the job's worker has taken a step.
bool OthersTrain(Transaction& tx, const Job& job) {
  const auto& used = tx.facts().workers.at(job.live()->worker).used;
  return std::any_of(used.begin(), used.end(), [&](const auto& item) {
    return item.second != job.record.sequence && tx.sightings().attempts.at(item.second).stepped;
  });
}

/// Holds it against its place that the live attempt failed before its first step.
void SuspectPlace(Transaction& tx, const Job& job, FailureClass failure,
                  const std::string& message) {
  const auto seen = tx.sightings().attempts.find(job.record.sequence);
  if (seen != tx.sightings().attempts.end() && seen->second.stepped) return;
  const store::AttemptRecord& attempt = *job.live();
  const auto worker = tx.sightings().workers.find(attempt.worker);
  if (worker == tx.sightings().workers.end()) return;
  policy::WorkerHealth& health = worker->second.health;
  const absl::Duration now = tx.now().steady;
  const int64_t sequence = job.record.sequence;
  std::string reason =
      fmt::format("job {}: {}", job.record.id.value(), Cut(message.substr(0, message.find('\n'))));
  if (failure == FailureClass::kDataUnavailable) {
    health.AddDataFailure(now, job.record.spec.Unpack().data.name, sequence, std::move(reason));
  } else if (failure == FailureClass::kInfrastructure || failure == FailureClass::kHang) {
    health.AddFailure(now, {.job = sequence,
                            .slot = attempt.slot,
                            .others_train = OthersTrain(tx, job),
                            .reason = std::move(reason)});
  }
  tx.Reconsider(attempt.worker);
}

/// How many different workers said that they lack the job's data.
int CountDataFailures(const Job& job) {
  std::set<base::WorkerId> workers;
  for (const store::AttemptRecord& attempt : job.attempts) {
    if (attempt.failure_class == FailureClass::kDataUnavailable) workers.insert(attempt.worker);
  }
  return static_cast<int>(workers.size());
}

/// Whether the job's data may be on a worker that has not said otherwise: one that is not lost and
/// has a slot of the job's device.
bool HasUntriedWorker(const cluster::Facts& facts, const Job& job) {
  const spec::JobSpec spec = job.record.spec.Unpack();
  const spec::Device device = spec.resources.device;
  const auto is_untried = [&](const store::WorkerRecord& worker) {
    const auto fits = [&](const store::Slot& slot) {
      return device == spec::Device::kAny || slot.device == device;
    };
    const auto is_data = [&](const store::DataSet& set) { return set.name == spec.data.name; };
    const auto lacked_data = [&](const store::AttemptRecord& attempt) {
      return attempt.worker == worker.id && attempt.failure_class == FailureClass::kDataUnavailable;
    };
    return !worker.lost && std::any_of(worker.slots.begin(), worker.slots.end(), fits) &&
           (!worker.data_sets ||
            std::any_of(worker.data_sets->begin(), worker.data_sets->end(), is_data)) &&
           std::none_of(job.attempts.begin(), job.attempts.end(), lacked_data);
  };
  return std::any_of(facts.workers.begin(), facts.workers.end(),
                     [&](const auto& item) { return is_untried(item.second.record); });
}

/// Whether the end of an attempt counts against the job: a worker that was lost or drained does
/// not, and data that are missing there do not while another worker may have them.
bool CountsAgainstJob(const cluster::Facts& facts, const Job& job, FailureClass failure) {
  if (failure == FailureClass::kNone || failure == FailureClass::kWorkerLost) return false;
  return failure != FailureClass::kDataUnavailable || !HasUntriedWorker(facts, job);
}

/// Queues the job again, after `back_off`. `counts`: its failure counts against the job.
void QueueAgain(Transaction& tx, const Job& job, FailureClass failure, bool counts,
                absl::Duration back_off, const std::string& message) {
  tx.UpdateStatus(job, [&](store::JobStatus& status) {
    if (failure != FailureClass::kNone) ++status.restart_count;
    if (counts) ++status.failures_in_row;
    status.not_before = tx.now().wall + back_off;
    status.message = Cut(message);
    EnterState(tx, job, status, Trigger::kRetry);
  });
  if (failure != FailureClass::kNone) {
    ++tx.counters().restarts[static_cast<size_t>(failure)];
  }
  if (back_off > absl::ZeroDuration()) {
    tx.timers().Set({Kind::kBackOff, job.record.sequence}, tx.now().steady + back_off);
  }
}

absl::Duration BackOff(const Job& job) {
  const double seconds = job.record.spec.Unpack().scheduling.restart_backoff_seconds *
                         std::exp2(std::min(job.status().failures_in_row, 20));
  return std::min(absl::Seconds(seconds), kBackOffMax);
}

std::string DeadlineMessage(const Job& job) {
  return fmt::format("it ran for longer than its deadline of {} s",
                     job.record.spec.Unpack().scheduling.deadline_seconds);
}

/// After a failure that a retry may cure: why no retry is left; nothing where one is.
std::optional<std::string> WhyNoRetry(const Job& job, FailureClass failure, bool counts,
                                      const std::string& message) {
  if (failure == FailureClass::kDataUnavailable && CountDataFailures(job) >= kDataFailuresMax) {
    return fmt::format("{} ({} workers said so)", message, CountDataFailures(job));
  }
  if (!counts) return std::nullopt;
  const int32_t max = job.record.spec.Unpack().scheduling.max_restarts;
  if (job.status().failures_in_row < max) return std::nullopt;
  return fmt::format(
      "{} (failed {} times in a row without a new checkpoint; scheduling.max_restarts is {})",
      message, job.status().failures_in_row + 1, max);
}

}  // namespace

void StartAttempt(Transaction& tx, const Job& job, const base::WorkerId& worker, int32_t slot) {
  ++tx.counters().queue_waits;
  tx.counters().queue_wait_seconds +=
      std::max(0.0, absl::ToDoubleSeconds(tx.now().wall - ReadySince(job)));
  store::AttemptRecord attempt;
  attempt.epoch = job.status().newest_epoch + 1;
  attempt.worker = worker;
  attempt.incarnation = tx.facts().workers.at(worker).record.incarnation;
  attempt.slot = slot;
  attempt.start_time = tx.now().wall;
  tx.UpdateStatus(job, [&](store::JobStatus& status) {
    status.newest_epoch = attempt.epoch;
    EnterState(tx, job, status, Trigger::kPlaced);
  });
  tx.Do(store::PutAttempt{job.record.id, std::move(attempt)});
  tx.sightings().workers.at(worker).health.BeginAttempt(tx.now().steady, slot,
                                                        job.record.spec.Unpack().data.name);
  tx.sightings().attempts[job.record.sequence] = {.progress_at = tx.now().steady};
  SetAttemptTimer(tx, job);
}

void BeginTraining(Transaction& tx, const Job& job) {
  if (job.status().state != JobState::kStarting) return;
  const bool first = job.status().start_time == absl::InfiniteFuture();
  tx.UpdateStatus(job, [&](store::JobStatus& status) {
    if (first) status.start_time = tx.now().wall;
    EnterState(tx, job, status, Trigger::kStarted);
  });
  const int32_t deadline = job.record.spec.Unpack().scheduling.deadline_seconds;
  if (first && deadline > 0) {
    tx.timers().Set({Kind::kDeadline, job.record.sequence},
                    tx.now().steady + absl::Seconds(deadline));
  }
}

void StopAttempt(Transaction& tx, const Job& job, StopReason reason) {
  tx.UpdateAttempt(job, [&](store::AttemptRecord& attempt) { attempt.stop = reason; });
  if (reason == StopReason::kCancel) {
    tx.UpdateStatus(job, [&](store::JobStatus& status) {
      status.cancel_time = tx.now().wall;
      EnterState(tx, job, status, Trigger::kCancel);
    });
  } else {
    tx.UpdateStatus(job, [](store::JobStatus& status) { ++status.version; });
  }
  SetAttemptTimer(tx, job);
}

void LoseAttempt(Transaction& tx, const Job& job, FailureClass failure,
                 const std::string& message) {
  const StopReason stop = job.live()->stop;
  if (stop == StopReason::kNone) SuspectPlace(tx, job, failure, message);
  // A trainer that was asked to stop may die of the signal, where it has not come to handle it yet.
  if (stop == StopReason::kCancel && failure == FailureClass::kInfrastructure) {
    failure = FailureClass::kNone;
  }
  EndAttempt(tx, job, stop == StopReason::kDeadline ? FailureClass::kDeadline : failure, message);
  if (job.status().state == JobState::kCancelling) {
    return EndJob(tx, job, Trigger::kStopped, FailureClass::kNone, "cancelled; " + message);
  }
  if (tx.sightings().overdue.contains(job.record.sequence)) {
    return EndJob(tx, job, Trigger::kExpired, FailureClass::kDeadline, DeadlineMessage(job));
  }
  if (!cluster::IsRetryable(failure)) return EndJob(tx, job, Trigger::kFailed, failure, message);
  const bool counts = CountsAgainstJob(tx.facts(), job, failure);
  if (const auto why = WhyNoRetry(job, failure, counts, message)) {
    return EndJob(tx, job, Trigger::kFailed, failure, *why);
  }
  QueueAgain(tx, job, failure, counts, counts ? BackOff(job) : absl::ZeroDuration(), message);
}

void ReturnAttempt(Transaction& tx, const Job& job, const std::string& message) {
  if (job.live()->stop != StopReason::kNone) {
    return LoseAttempt(tx, job, FailureClass::kNone, message);
  }
  EndAttempt(tx, job, FailureClass::kNone, message);
  if (tx.sightings().overdue.contains(job.record.sequence)) {
    return EndJob(tx, job, Trigger::kExpired, FailureClass::kDeadline, DeadlineMessage(job));
  }
  QueueAgain(tx, job, FailureClass::kNone, /*counts=*/false,
             absl::Seconds(job.record.spec.Unpack().scheduling.restart_backoff_seconds), message);
}

void CompleteAttempt(Transaction& tx, const Job& job, const store::JobResult& result) {
  TrustPlace(tx, job);
  EndAttempt(tx, job, FailureClass::kNone, "succeeded");
  tx.UpdateStatus(job, [&](store::JobStatus& status) {
    status.progress.step = result.steps;
    status.progress.eta_seconds = 0;
    status.result = result;
  });
  EndJob(tx, job, Trigger::kSucceeded, FailureClass::kNone,
         fmt::format("succeeded after {} steps", result.steps));
}

void EndJob(Transaction& tx, const Job& job, Trigger trigger, FailureClass failure,
            const std::string& message) {
  tx.UpdateStatus(job, [&](store::JobStatus& status) {
    status.message = Cut(message);
    if (trigger == Trigger::kFailed || trigger == Trigger::kExpired) {
      status.failure_class = failure;
      ++tx.counters().failures[static_cast<size_t>(failure)];
    }
    EnterState(tx, job, status, trigger);
  });
}

absl::Duration AttemptLimit(const Options& options, const Job& job,
                            const AttemptSighting& sighting) {
  if (job.status().state == JobState::kStarting) return options.start_limit;
  // A worker that does not say how much of its uploads is left may make progress all the same.
  if (sighting.phase == Phase::kEnded && sighting.upload_bytes_left == 0) {
    return std::max(options.start_limit, options.hang_limit);
  }
  const auto median = sighting.step_clock.MedianStep();
  return std::max(options.hang_limit, median ? *median * options.hang_steps : absl::ZeroDuration());
}

bool WaitsForStop(const Job& job, const AttemptSighting& sighting) {
  const StopReason stop = job.live()->stop;
  return stop == StopReason::kCancel ||
         (stop == StopReason::kDeadline && sighting.phase != Phase::kEnded);
}

void SetAttemptTimer(Transaction& tx, const Job& job) {
  const AttemptSighting& sighting = tx.sightings().attempts.at(job.record.sequence);
  const absl::Duration due =
      WaitsForStop(job, sighting)
          ? tx.now().steady + absl::Seconds(job.record.spec.Unpack().scheduling.grace_seconds) +
                tx.options().cancel_margin
          : sighting.progress_at + AttemptLimit(tx.options(), job, sighting);
  tx.timers().Set({Kind::kAttempt, job.record.sequence}, due);
}

void NoteProgress(Transaction& tx, const Job& job) {
  AttemptSighting& sighting = tx.sightings().attempts.at(job.record.sequence);
  if (WaitsForStop(job, sighting)) return;
  sighting.progress_at = tx.now().steady;
  SetAttemptTimer(tx, job);
}

void HandleDeadline(Transaction& tx, const Job& job) {
  if (cluster::IsFinal(job.status().state)) return;
  tx.sightings().overdue.insert(job.record.sequence);
  const store::AttemptRecord* const live = job.live();
  if (live == nullptr) {
    return EndJob(tx, job, Trigger::kExpired, FailureClass::kDeadline, DeadlineMessage(job));
  }
  if (live->stop != StopReason::kNone) return;
  // Its worker may hold a success that was reached in time: hear it first.
  const WorkerSighting& worker = tx.sightings().workers.at(live->worker);
  const Phase phase = tx.sightings().attempts.at(job.record.sequence).phase;
  if (!worker.confirmed || worker.silent || phase == Phase::kEnded) return;
  StopAttempt(tx, job, StopReason::kDeadline);
}

void TrustPlace(Transaction& tx, const Job& job) {
  tx.sightings().attempts.at(job.record.sequence).stepped = true;
  const store::AttemptRecord& attempt = *job.live();
  const auto worker = tx.sightings().workers.find(attempt.worker);
  if (worker == tx.sightings().workers.end()) return;
  const bool was_suspect =
      worker->second.health.TrustPlaces(attempt.slot, job.record.spec.Unpack().data.name);
  if (was_suspect) tx.Reconsider(attempt.worker);
}

}  // namespace bsnn::commands
