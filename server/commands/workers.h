/// What workers ask: registering, synchronising; and what their silence does.
///
/// Two thresholds. A worker is *silent* after its lease: it gets nothing new, its attempts stay,
/// and a job of it that fits elsewhere leaves. It is *lost* after Options::lost_after, or at once
/// when another incarnation takes its place: its attempts end. A silent worker that calls goes on
/// as if nothing had happened; so does a lost one, without the attempts that ended.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "server/commands/transaction.h"
#include "server/policy/view.h"

namespace bsnn::commands {

/// See Scheduler::RegisterWorker.
absl::Status RegisterWorker(Transaction& tx, const RegisterWorkerRequest& request);

/// The worker has called: its lease begins anew, what it says of its attempts is noted.
absl::Status NoteSynchronize(Transaction& tx, const SynchronizeRequest& request);
/// What the worker should be doing now. `ticket_of(job)` is the ticket that covers the job's
/// changes; `ticket` becomes the largest of those that the reply rests on.
struct OrdersFor {
  SynchronizeReply reply;
  std::vector<int64_t> jobs;        ///< whose changes the reply rests on, by sequence
  bool rests_on_deletions = false;  ///< it also rests on a job that is not there any more
};
OrdersFor MakeOrders(const Options& options, const State& state, const SynchronizeRequest& request);

/// Any call of a worker is a sign of life.
void HearWorker(Transaction& tx, const base::WorkerId& worker);
void SetWorkerTimers(Transaction& tx, const base::WorkerId& worker);
void SilenceWorker(Transaction& tx, const base::WorkerId& worker);
/// `why` is for people; nothing: it was silent.
void LoseWorker(Transaction& tx, const base::WorkerId& worker, std::optional<std::string> why);
/// A lost worker leaves the list worker_linger after it was heard last.
void SetForgetTimer(Transaction& tx, const cluster::Worker& worker);
void ForgetWorker(Transaction& tx, const base::WorkerId& worker);

WorkerState StateOf(const cluster::Worker& worker, const WorkerSighting& seen);

/// What the worker offers to the policy. Sets the timer of the next place whose pause ends.
policy::Offer OfferOf(const cluster::Worker& worker, const WorkerSighting& seen, absl::Duration now,
                      Timers& timers);

absl::Status UnknownWorker(const base::WorkerId& worker);

}  // namespace bsnn::commands
