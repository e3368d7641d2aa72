#include "server/commands/due.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/commands/attempts.h"
#include "server/commands/workers.h"

namespace bsnn::commands {
namespace {

using cluster::Job;
using Kind = TimerKey::Kind;

std::string WhyItHangs(const Job& job, const AttemptSighting& seen, absl::Duration limit) {
  const double seconds = absl::ToDoubleSeconds(limit);
  if (job.status().state == JobState::kStarting) {
    return fmt::format("the trainer did not report within {:g} s", seconds);
  }
  if (seen.phase == Phase::kEnded) {
    return fmt::format(
        "the trainer has ended, and nothing of its last checkpoint came for {:.0f} s", seconds);
  }
  return fmt::format("no step for {:.0f} s; step {} was the last", seconds,
                     job.status().progress.step);
}

/// The live attempt has not done what it was waited for, unless that came meanwhile.
void HandleAttemptTimer(Transaction& tx, const Job& job) {
  const store::AttemptRecord& live = *job.live();
  const AttemptSighting& seen = tx.sightings().attempts.at(job.record.sequence);
  const TimerKey timer{Kind::kAttempt, job.record.sequence};
  if (live.stop != StopReason::kCancel && tx.sightings().workers.at(live.worker).silent) {
    // Nobody knows what it does; the worker's own timers decide.
    return tx.timers().Set(timer, tx.now().steady + tx.options().lease);
  }
  if (WaitsForStop(job, seen)) {
    return LoseAttempt(tx, job, FailureClass::kNone, "its worker did not end it in time");
  }
  const absl::Duration limit = AttemptLimit(tx.options(), job, seen);
  if (tx.now().steady < seen.progress_at + limit) {
    return tx.timers().Set(timer, seen.progress_at + limit);
  }
  LoseAttempt(tx, job, FailureClass::kHang, WhyItHangs(job, seen, limit));
}

/// Restored times of one job that has not ended.
void BeginJob(Transaction& tx, const Job& job) {
  const int64_t sequence = job.record.sequence;
  const store::JobStatus& status = job.status();
  // The spec is unpacked of jobs that have begun alone: most of those kept wait for their start.
  const bool has_begun = status.start_time != absl::InfiniteFuture();
  const int32_t deadline = has_begun ? job.record.spec.Unpack().scheduling.deadline_seconds : 0;
  if (deadline > 0) {
    // A wall clock that was set back must not give more time than the deadline is.
    const absl::Duration left = status.start_time + absl::Seconds(deadline) - tx.now().wall;
    tx.timers().Set(
        {Kind::kDeadline, sequence},
        tx.now().steady + std::clamp(left, absl::ZeroDuration(), absl::Seconds(deadline)));
  }
  if (status.state == JobState::kQueued) {
    // A wall clock that was set back must not make a pause longer than any pause is.
    const absl::Duration left = std::min(status.not_before - tx.now().wall, kBackOffMax);
    if (left > absl::ZeroDuration()) {
      tx.timers().Set({Kind::kBackOff, sequence}, tx.now().steady + left);
    }
    return;
  }
  AttemptSighting& seen = tx.sightings().attempts[sequence];
  seen.progress_at = tx.now().steady;
  seen.largest_step = status.progress.step;
  seen.stepped =
      status.state == JobState::kRunning && status.progress.step > job.live()->resumed_from_step;
  if (job.live()->stop == StopReason::kDeadline) tx.sightings().overdue.insert(sequence);
  SetAttemptTimer(tx, job);
}

void BeginWorker(Transaction& tx, const cluster::Worker& worker) {
  const base::WorkerId& id = worker.record.id;
  WorkerSighting& seen = tx.sightings().workers[id];
  seen.last_seen = tx.now().steady;
  if (worker.record.lost) {
    SetForgetTimer(tx, worker);
  } else {
    SetWorkerTimers(tx, id);
  }
}

}  // namespace

void BeginTimers(Transaction& tx) {
  for (const auto& [id, worker] : tx.facts().workers) BeginWorker(tx, worker);
  for (size_t state = 0; state < tx.facts().jobs_by_state.size(); ++state) {
    if (cluster::IsFinal(static_cast<JobState>(state))) continue;
    for (const int64_t sequence : tx.facts().jobs_by_state[state]) {
      BeginJob(tx, *tx.facts().FindJob(sequence));
    }
  }
}

void HandleTimer(Transaction& tx, const TimerKey& key) {
  switch (key.kind) {
    case Kind::kBackOff:
      return tx.Reconsider(key.job);
    case Kind::kAttempt:
      return HandleAttemptTimer(tx, *tx.facts().FindJob(key.job));
    case Kind::kDeadline:
      return HandleDeadline(tx, *tx.facts().FindJob(key.job));
    case Kind::kWorkerSilent:
      return SilenceWorker(tx, key.worker);
    case Kind::kWorkerLost:
      return LoseWorker(tx, key.worker, /*why=*/std::nullopt);
    case Kind::kWorkerForget:
      return ForgetWorker(tx, key.worker);
    case Kind::kProbe:
      return tx.Reconsider(key.worker);
  }
}

}  // namespace bsnn::commands
