/// How attempts begin and end, and what that makes of their jobs.
///
/// Who is to blame decides what follows. USER_ERROR is what the spec alone can say: the job fails.
/// DATA_UNAVAILABLE: other workers are tried; final once kDataFailuresMax of them said so, or once
/// no other is left and the job's restarts are used up. INFRASTRUCTURE and HANG count as failures
/// of the job; a new checkpoint sets the count and the back-off to 0. A lost worker is no failure
/// of the job: it is queued again at once. A worker that gives an attempt back in order (it drains)
/// is none either.
#pragma once

#include <string>

#include "server/cluster/job_states.h"
#include "server/commands/transaction.h"

namespace bsnn::commands {

using cluster::Trigger;
using store::FailureClass;
using store::JobState;
using store::StopReason;

/// So many different workers must lack a job's data before it fails.
inline constexpr int kDataFailuresMax = 3;
/// The longest pause before a job is placed again.
inline constexpr absl::Duration kBackOffMax = absl::Minutes(5);

/// Puts the job, which has no live attempt, on a slot.
void StartAttempt(Transaction& tx, const cluster::Job& job, const base::WorkerId& worker,
                  int32_t slot);

/// The trainer has reported its start: STARTING becomes RUNNING, and its deadline begins to count.
void BeginTraining(Transaction& tx, const cluster::Job& job);

/// Asks the live attempt to stop; it is ended when the grace is over.
void StopAttempt(Transaction& tx, const cluster::Job& job, StopReason reason);

/// The live attempt ended by `failure`: the job is queued again, or fails, or (where it was to
/// stop) is CANCELLED or EXPIRED.
void LoseAttempt(Transaction& tx, const cluster::Job& job, FailureClass failure,
                 const std::string& message);

/// The live attempt stopped because its worker asked it to: that is no failure of the job.
void ReturnAttempt(Transaction& tx, const cluster::Job& job, const std::string& message);

/// The live attempt succeeded; its checkpoint is in the catalogue.
void CompleteAttempt(Transaction& tx, const cluster::Job& job, const store::JobResult& result);

/// The job ends without a live attempt.
void EndJob(Transaction& tx, const cluster::Job& job, Trigger trigger, FailureClass failure,
            const std::string& message);

/// How long the live attempt may go without its first report, a step, or (once its trainer has
/// ended) a byte of its last checkpoint.
absl::Duration AttemptLimit(const Options& options, const cluster::Job& job,
                            const AttemptSighting& sighting);
/// Whether the live attempt was asked to stop, and is ended when the grace is over. A trainer that
/// has ended before its deadline's stop reached it is waited for as any other: its success may be
/// on its way.
bool WaitsForStop(const cluster::Job& job, const AttemptSighting& sighting);
/// Sets the timer of what the live attempt is waited for at most; a stop's grace begins anew.
void SetAttemptTimer(Transaction& tx, const cluster::Job& job);
/// The live attempt is waited for anew from now on, unless it is in the grace of a stop.
void NoteProgress(Transaction& tx, const cluster::Job& job);

/// The job's deadline has passed: a queued job ends; a live attempt is asked to stop once its
/// worker has called, unless its trainer has ended.
void HandleDeadline(Transaction& tx, const cluster::Job& job);

/// The live attempt has taken a step: its place is as it should be.
void TrustPlace(Transaction& tx, const cluster::Job& job);

}  // namespace bsnn::commands
