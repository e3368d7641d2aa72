#include "server/commands/due.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/commands/attempts.h"
#include "server/commands/workers.h"

namespace bsnn::commands {
namespace {

using cluster::Job;
using Kind = TimerKey::Kind;

/// The live attempt has not done what it was waited for.
void HandleAttemptTimer(Transaction& tx, const Job& job) {
  const store::AttemptRecord* const live = job.live();
  if (live == nullptr) return;
  if (live->stop != StopReason::kNone) {
    return LoseAttempt(tx, job, FailureClass::kNone, "its worker did not end it in time");
  }
  const auto worker = tx.sightings().workers.find(live->worker);
  if (worker != tx.sightings().workers.end() && worker->second.silent) {
    // Nobody knows what it does; the worker's own timers decide.
    return tx.timers().Set({Kind::kAttempt, job.record.sequence},
                           tx.now().steady + tx.options().lease);
  }
  AttemptSighting& seen = tx.sightings().attempts.at(job.record.sequence);
  if (job.status().state == JobState::kStarting) {
    return LoseAttempt(tx, job, FailureClass::kHang,
                       fmt::format("the trainer did not report within {:g} s",
                                   absl::ToDoubleSeconds(tx.options().start_limit)));
  }
  if (seen.phase == Phase::kEnded) {
    // A worker that says how much of its uploads is left has made no progress; of one that does not
    // say it is not known: it gets the longer limit.
    const absl::Duration limit = seen.upload_bytes_left > 0
                                     ? HangLimit(tx.options(), seen)
                                     : std::max(tx.options().start_limit, tx.options().hang_limit);
    if (tx.now().steady < seen.progress_at + limit) {
      return tx.timers().Set({Kind::kAttempt, job.record.sequence}, seen.progress_at + limit);
    }
    return LoseAttempt(tx, job, FailureClass::kHang,
                       fmt::format("the trainer has ended, and nothing of its last checkpoint came "
                                   "for {:.0f} s",
                                   absl::ToDoubleSeconds(limit)));
  }
  LoseAttempt(tx, job, FailureClass::kHang,
              fmt::format("no step for {:.0f} s; step {} was the last",
                          absl::ToDoubleSeconds(HangLimit(tx.options(), seen)),
                          job.status().progress.step));
}

/// Restored times of one job that has not ended.
void BeginJob(Transaction& tx, const Job& job) {
  const int64_t sequence = job.record.sequence;
  const store::JobStatus& status = job.status();
  const int32_t deadline = job.record.spec->scheduling.deadline_seconds;
  if (deadline > 0 && status.start_time != absl::InfiniteFuture()) {
    const absl::Duration left = status.start_time + absl::Seconds(deadline) - tx.now().wall;
    tx.timers().Set({Kind::kDeadline, sequence},
                    tx.now().steady + std::max(left, absl::ZeroDuration()));
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
  if (!worker.record.lost) return SetWorkerTimers(tx, id);
  const absl::Duration gone = tx.now().wall - worker.record.last_seen_time;
  tx.timers().Set(
      {Kind::kWorkerForget, 0, id},
      tx.now().steady + std::max(tx.options().worker_linger - gone, absl::ZeroDuration()));
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
