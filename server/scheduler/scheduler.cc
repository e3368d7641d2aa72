#include "server/scheduler/scheduler.h"

#include <absl/synchronization/mutex.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/status.h"
#include "server/cluster/apply.h"
#include "server/commands/attempts.h"
#include "server/commands/checkpoints.h"
#include "server/commands/due.h"
#include "server/commands/events.h"
#include "server/commands/jobs.h"
#include "server/commands/workers.h"
#include "server/scheduler/attention_clock.h"
#include "server/scheduler/board.h"
#include "server/scheduler/views.h"

namespace bsnn::scheduler {

using commands::Transaction;

struct Scheduler::Guarded {
  explicit Guarded(base::RandomBits random) : bits(std::move(random)) {}

  mutable absl::Mutex mutex;
  commands::State state ABSL_GUARDED_BY(mutex);
  Board board ABSL_GUARDED_BY(mutex);
  AttentionClock attention ABSL_GUARDED_BY(mutex);
  base::RandomBits bits ABSL_GUARDED_BY(mutex);
  store::Ticket last_ticket ABSL_GUARDED_BY(mutex) = 0;
  // Newest ticket of each job that changed, until it is known to be durable.
  std::map<int64_t, store::Ticket> tickets ABSL_GUARDED_BY(mutex);

  // By the attention clock, at the newest change: reads do not run it.
  absl::Duration now ABSL_GUARDED_BY(mutex);

  /// Brings the board up to date with what `tx` did, and adds that to `changes`.
  void UpdateBoard(Transaction& tx, std::map<int64_t, JobChange>& changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const cluster::Touched touched = tx.TakeTouched();
    board.Update(state, tx.now().steady, touched, tx.TakeReconsidered());
    for (const auto& [job, change] : touched.jobs) {
      JobChange& sum = changes[job];
      sum.job = change.job;
      sum.status |= change.status;
      sum.metrics |= change.metrics;
      sum.logs |= change.logs;
      sum.placed |= change.placed;
      sum.ended |= change.ended;
      sum.deleted |= change.deleted;
    }
  }

  void CarryOut(const policy::Plan& plan, Transaction& tx) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    for (const policy::Start& start : plan.starts) {
      const cluster::Job& job = *state.facts.FindJob(start.job);
      // A start before this one may be the probe of a suspect place, which is alone.
      if (!state.sightings.workers.at(start.worker)
               .health.MayStart(now, start.slot, job.record.spec.Unpack().data.name)) {
        continue;
      }
      if (job.live() != nullptr) {
        commands::LoseAttempt(tx, job, FailureClass::kWorkerLost,
                              "worker " + job.live()->worker.value() +
                                  " was silent, and there was a place elsewhere");
      }
      // What the attempt's end made of the job may leave nothing to start.
      if (job.status().state == JobState::kQueued) {
        commands::StartAttempt(tx, job, start.worker, start.slot);
      }
    }
  }

  void Enqueue(Transaction& tx, const std::map<int64_t, JobChange>& changes, store::JobStore& store)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (!tx.HasBatch()) return;
    last_ticket = store.Enqueue(tx.TakeBatch());
    for (const auto& [job, change] : changes) tickets[job] = last_ticket;
    if (tickets.size() > 1000 && tickets.size() > 2 * changes.size()) {
      const store::Ticket durable = store.Durable();
      std::erase_if(tickets, [&](const auto& item) { return item.second <= durable; });
    }
  }

  Snapshot TakeSnapshot() const ABSL_SHARED_LOCKS_REQUIRED(mutex) {
    Snapshot snapshot;
    snapshot.counters = state.counters;
    for (size_t i = 0; i < state.facts.jobs_by_state.size(); ++i) {
      snapshot.jobs[i] = std::ssize(state.facts.jobs_by_state[i]);
    }
    board.AddCounts(snapshot);
    for (const auto& [id, seen] : state.sightings.workers) {
      if (state.facts.workers.at(id).record.lost) continue;
      snapshot.heartbeat_age_seconds_max =
          std::max(snapshot.heartbeat_age_seconds_max, absl::ToDoubleSeconds(now - seen.last_seen));
    }
    return snapshot;
  }

  JobView ViewOfJob(int64_t job) const ABSL_SHARED_LOCKS_REQUIRED(mutex) {
    return ViewOf(state, board, now, *state.facts.FindJob(job));
  }
};

namespace {

absl::StatusOr<Nothing> OrNothing(absl::Status status) {
  if (!status.ok()) return status;
  return Nothing();
}

/// For calls whose answer is what they gave.
constexpr auto kAsItIs = [](auto value) { return value; };

}  // namespace

Scheduler::Scheduler(std::unique_ptr<Guarded> guarded, const Options& options,
                     store::JobStore& store, telemetry::Telemetry& telemetry, Observer* observer)
    : options_(options),
      store_(store),
      telemetry_(telemetry),
      observer_(observer),
      guarded_(std::move(guarded)) {}
Scheduler::~Scheduler() = default;

absl::StatusOr<std::unique_ptr<Scheduler>> Scheduler::Make(const Options& options,
                                                           store::JobStore& store,
                                                           telemetry::Telemetry& telemetry,
                                                           Observer* observer,
                                                           base::RandomBits bits) {
  ASSIGN_OR_RETURN(store::LoadedState loaded, store.LoadAll());
  for (const store::LoadedJob& job : loaded.jobs) {
    if (IsFinal(job.job.status.state) || job.job.status.newest_epoch == 0) continue;
    telemetry.Expose(job.job.id, job.job.display_name);
    telemetry.Restore(job.job.id, job.latest, job.job.status.progress);
  }
  auto guarded = std::make_unique<Guarded>(std::move(bits));
  {
    absl::MutexLock lock(&guarded->mutex);
    RETURN_IF_ERROR(cluster::Restore(std::move(loaded), guarded->state.facts));
  }
  return std::unique_ptr<Scheduler>(
      new Scheduler(std::move(guarded), options, store, telemetry, observer));
}

void Scheduler::Begin(Instant now) {
  Guarded& guarded = *guarded_;
  absl::MutexLock lock(&guarded.mutex);
  guarded.now = guarded.attention.Look(now.steady);
  Transaction tx(options_, guarded.state, guarded.bits, {now.wall, guarded.now});
  commands::BeginTimers(tx);
  guarded.board.UpdateAll(guarded.state, guarded.now);
}

void Scheduler::Report(Instant now, store::Ticket ticket, const std::vector<JobChange>& changes) {
  for (const JobChange& change : changes) {
    if (change.deleted) {
      telemetry_.Release(change.job);
    } else if (change.ended) {
      telemetry_.ReleaseAt(change.job, now.steady + options_.series_linger);
    }
  }
  if (observer_ != nullptr && !changes.empty()) observer_->OnChanges(ticket, changes);
}

template <class Call, class View>
auto Scheduler::Change(Instant now, Call&& call, View&& view) {
  std::vector<JobChange> changes;
  std::vector<std::pair<base::JobId, std::string>> placed;
  store::Ticket ticket = 0;
  auto result = [&] {
    Guarded& guarded = *guarded_;
    absl::MutexLock lock(&guarded.mutex);
    guarded.now = guarded.attention.Look(now.steady);
    Transaction tx(options_, guarded.state, guarded.bits, {now.wall, guarded.now});
    std::map<int64_t, JobChange> changed;
    while (const auto due = guarded.state.timers.TakeDue(guarded.now)) {
      commands::HandleTimer(tx, *due);
    }
    auto value = call(tx);
    guarded.UpdateBoard(tx, changed);
    if (guarded.board.ShouldDecide(guarded.now)) {
      guarded.CarryOut(guarded.board.Decide(guarded.now), tx);
      guarded.UpdateBoard(tx, changed);
    }
    guarded.Enqueue(tx, changed, store_);
    ticket = guarded.last_ticket;
    for (const auto& [job, change] : changed) {
      if (change.placed) {
        placed.emplace_back(change.job, guarded.state.facts.jobs.at(job).record.display_name);
      }
      changes.push_back(change);
    }
    using Viewed = std::remove_cvref_t<decltype(view(*std::move(value)))>;
    if (!value.ok()) return absl::StatusOr<Committed<Viewed>>(value.status());
    return absl::StatusOr<Committed<Viewed>>(Committed<Viewed>{view(*std::move(value)), ticket});
  }();
  for (const auto& [job, display_name] : placed) telemetry_.Expose(job, display_name);
  Report(now, ticket, changes);
  return result;
}

absl::StatusOr<Committed<JobView>> Scheduler::CreateJob(Instant now,
                                                        const CreateJobRequest& request) {
  return Change(
      now, [&](Transaction& tx) { return commands::CreateJob(tx, request, store_.HasRoom()); },
      [this](int64_t job) {
        guarded_->mutex.AssertHeld();
        return guarded_->ViewOfJob(job);
      });
}

absl::StatusOr<JobView> Scheduler::GetJob(Instant, const base::JobId& job) const {
  absl::MutexLock lock(&guarded_->mutex);
  ASSIGN_OR_RETURN(const cluster::Job* const found, commands::GetJob(guarded_->state.facts, job));
  return guarded_->ViewOfJob(found->record.sequence);
}

ListJobsPage Scheduler::ListJobs(Instant, const ListJobsRequest& request) const {
  absl::MutexLock lock(&guarded_->mutex);
  return scheduler::ListJobs(guarded_->state, guarded_->board, guarded_->now, request);
}

absl::StatusOr<Committed<JobView>> Scheduler::CancelJob(Instant now, const base::JobId& job,
                                                        std::string_view etag) {
  return Change(
      now, [&](Transaction& tx) { return OrNothing(commands::CancelJob(tx, job, etag)); },
      [&](Nothing) {
        guarded_->mutex.AssertHeld();
        return guarded_->ViewOfJob(guarded_->state.facts.FindJob(job)->record.sequence);
      });
}

absl::StatusOr<Committed<Nothing>> Scheduler::DeleteJob(Instant now, const base::JobId& job,
                                                        std::string_view etag) {
  return Change(
      now, [&](Transaction& tx) { return OrNothing(commands::DeleteJob(tx, job, etag)); }, kAsItIs);
}

absl::StatusOr<Committed<WorkerView>> Scheduler::RegisterWorker(
    Instant now, const RegisterWorkerRequest& request) {
  return Change(
      now, [&](Transaction& tx) { return OrNothing(commands::RegisterWorker(tx, request)); },
      [&](Nothing) {
        guarded_->mutex.AssertHeld();
        return ViewOf(guarded_->state, guarded_->now,
                      *guarded_->state.facts.FindWorker(request.id));
      });
}

absl::StatusOr<Committed<SynchronizeReply>> Scheduler::Synchronize(
    Instant now, const SynchronizeRequest& request) {
  store::Ticket before = 0;
  store::Ticket orders_ticket = 0;
  auto reply = Change(
      now,
      [&](Transaction& tx) {
        guarded_->mutex.AssertHeld();
        before = guarded_->last_ticket;
        return OrNothing(commands::NoteSynchronize(tx, request));
      },
      [&](Nothing) {
        guarded_->mutex.AssertHeld();
        commands::OrdersFor orders = commands::MakeOrders(options_, guarded_->state, request);
        for (const int64_t job : orders.jobs) {
          const auto ticket = guarded_->tickets.find(job);
          if (ticket != guarded_->tickets.end()) {
            orders_ticket = std::max(orders_ticket, ticket->second);
          }
        }
        if (orders.rests_on_deletions) orders_ticket = guarded_->last_ticket;
        return std::move(orders.reply);
      });
  // A quiet call waits for nothing but what its orders rest on.
  if (reply.ok() && reply->ticket == before) reply->ticket = orders_ticket;
  return reply;
}

absl::StatusOr<WorkerView> Scheduler::GetWorker(Instant, const base::WorkerId& worker) const {
  absl::MutexLock lock(&guarded_->mutex);
  const cluster::Worker* const found = guarded_->state.facts.FindWorker(worker);
  if (found == nullptr) return commands::UnknownWorker(worker);
  return ViewOf(guarded_->state, guarded_->now, *found);
}

std::vector<WorkerView> Scheduler::ListWorkers(Instant, const base::WorkerId& after,
                                               int limit) const {
  absl::MutexLock lock(&guarded_->mutex);
  const auto& workers = guarded_->state.facts.workers;
  std::vector<WorkerView> views;
  auto item = after.empty() ? workers.begin() : workers.upper_bound(after);
  for (; item != workers.end() && std::ssize(views) < limit; ++item) {
    views.push_back(ViewOf(guarded_->state, guarded_->now, item->second));
  }
  return views;
}

absl::StatusOr<Committed<int64_t>> Scheduler::AcceptEvents(Instant now, const EventBatch& batch) {
  const std::vector<bool> admitted = telemetry_.Admit(batch.job, batch.events);
  const auto accepted = Change(
      now,
      [&](Transaction& tx) {
        return commands::AcceptEvents(tx, batch, admitted, store_.HasRoom());
      },
      kAsItIs);
  if (!accepted.ok()) return accepted.status();
  telemetry_.Store(batch.job, batch.epoch, batch.events, accepted->value.first_new);
  return Committed<int64_t>{accepted->value.acknowledged_sequence, accepted->ticket};
}

absl::Status Scheduler::CheckUpload(Instant, const UploadSource& source) const {
  absl::MutexLock lock(&guarded_->mutex);
  return commands::CheckUpload(guarded_->state.facts, source);
}

base::CheckpointId Scheduler::CheckpointIdOf(int32_t attempt_epoch, int64_t step) {
  return commands::CheckpointIdOf(attempt_epoch, step);
}

absl::StatusOr<Committed<Published>> Scheduler::RecordCheckpoint(Instant now,
                                                                 const PublishRequest& request) {
  return Change(
      now, [&](Transaction& tx) { return commands::RecordCheckpoint(tx, request); }, kAsItIs);
}

absl::StatusOr<store::CheckpointRecord> Scheduler::GetCheckpoint(
    const base::JobId& job, const base::CheckpointId& checkpoint) const {
  absl::MutexLock lock(&guarded_->mutex);
  return commands::GetCheckpoint(guarded_->state.facts, job, checkpoint);
}

absl::StatusOr<CheckpointsPage> Scheduler::ListCheckpoints(const base::JobId& job,
                                                           std::optional<CheckpointCursor> after,
                                                           int limit) const {
  absl::MutexLock lock(&guarded_->mutex);
  ASSIGN_OR_RETURN(const cluster::Job* const found, commands::GetJob(guarded_->state.facts, job));
  return scheduler::ListCheckpoints(*found, after, limit);
}

absl::StatusOr<Committed<store::CheckpointRecord>> Scheduler::PinCheckpoint(
    Instant now, const base::JobId& job, const base::CheckpointId& checkpoint, bool pinned) {
  return Change(
      now, [&](Transaction& tx) { return commands::PinCheckpoint(tx, job, checkpoint, pinned); },
      kAsItIs);
}

absl::StatusOr<Committed<Nothing>> Scheduler::DeleteCheckpoint(
    Instant now, const base::JobId& job, const base::CheckpointId& checkpoint) {
  return Change(
      now,
      [&](Transaction& tx) { return OrNothing(commands::DeleteCheckpoint(tx, job, checkpoint)); },
      kAsItIs);
}

void Scheduler::Tick(Instant now) {
  (void)Change(
      now, [](Transaction&) { return absl::StatusOr<Nothing>(Nothing()); }, kAsItIs);
}

absl::Duration Scheduler::NextDeadline() const {
  absl::MutexLock lock(&guarded_->mutex);
  const absl::Duration next = std::min(guarded_->state.timers.Next(), guarded_->board.decide_at());
  return guarded_->attention.ToSteady(next);
}

store::Ticket Scheduler::LastTicket() const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->last_ticket;
}

Snapshot Scheduler::TakeSnapshot(Instant) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->TakeSnapshot();
}

}  // namespace bsnn::scheduler
