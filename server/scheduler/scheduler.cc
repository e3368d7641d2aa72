#include "server/scheduler/scheduler.h"

#include <absl/synchronization/mutex.h>

#include <utility>

#include "base/status.h"
#include "server/scheduler/core.h"

namespace bsnn::scheduler {

struct Scheduler::Guarded {
  explicit Guarded(std::unique_ptr<Core> made) : core(std::move(made)) {}
  mutable absl::Mutex mutex;
  const std::unique_ptr<Core> core ABSL_PT_GUARDED_BY(mutex);
};

namespace {

template <class T>
absl::StatusOr<Committed<T>> Commit(absl::StatusOr<T> value, store::Ticket ticket) {
  if (!value.ok()) return value.status();
  return Committed<T>{*std::move(value), ticket};
}

}  // namespace

Scheduler::Scheduler(std::unique_ptr<Core> core, Observer* observer)
    : guarded_(std::make_unique<Guarded>(std::move(core))), observer_(observer) {}
Scheduler::~Scheduler() = default;

absl::StatusOr<std::unique_ptr<Scheduler>> Scheduler::Make(const Options& options,
                                                           store::JobStore& store,
                                                           Observer* observer,
                                                           base::RandomBits bits, Instant now) {
  auto core = std::make_unique<Core>(options, store, std::move(bits));
  RETURN_IF_ERROR(core->Load(now));
  return std::unique_ptr<Scheduler>(new Scheduler(std::move(core), observer));
}

void Scheduler::Report(store::Ticket ticket, const std::vector<JobChange>& changes) {
  if (observer_ != nullptr && !changes.empty()) observer_->OnChanges(ticket, changes);
}

/// Does what is due, then `call(core)`; enqueues both as one batch and reports them.
template <class Call>
auto Scheduler::Change(Instant now, Call&& call) {
  std::vector<JobChange> changes;
  store::Ticket ticket = 0;
  auto result = [&] {
    absl::MutexLock lock(&guarded_->mutex);
    Core& core = *guarded_->core;
    core.Advance(now);
    auto value = call(core);
    ticket = core.Commit();
    changes = core.TakeChanges();
    return Commit(std::move(value), ticket);
  }();
  Report(ticket, changes);
  return result;
}

absl::StatusOr<Committed<JobView>> Scheduler::CreateJob(Instant now,
                                                        const CreateJobRequest& request) {
  return Change(now, [&](Core& core) { return core.CreateJob(now, request); });
}

absl::StatusOr<JobView> Scheduler::GetJob(Instant now, const base::JobId& job) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->GetJob(now, job);
}

ListJobsPage Scheduler::ListJobs(Instant now, const ListJobsRequest& request) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->ListJobs(now, request);
}

absl::StatusOr<Committed<JobView>> Scheduler::CancelJob(Instant now, const base::JobId& job,
                                                        std::string_view etag) {
  return Change(now, [&](Core& core) { return core.CancelJob(now, job, etag); });
}

absl::StatusOr<Committed<Nothing>> Scheduler::DeleteJob(Instant now, const base::JobId& job,
                                                        std::string_view etag) {
  return Change(now, [&](Core& core) { return core.DeleteJob(now, job, etag); });
}

absl::StatusOr<Committed<WorkerView>> Scheduler::RegisterWorker(
    Instant now, const RegisterWorkerRequest& request) {
  return Change(now, [&](Core& core) { return core.RegisterWorker(now, request); });
}

absl::StatusOr<Committed<SynchronizeReply>> Scheduler::Synchronize(
    Instant now, const SynchronizeRequest& request) {
  store::Ticket orders = 0;
  bool placed = false;
  auto reply = Change(now, [&](Core& core) {
    auto made = core.Synchronize(now, request, orders);
    placed = core.HasPending();
    return made;
  });
  // A quiet call waits for nothing but what its orders rest on.
  if (reply.ok() && !placed) reply->ticket = orders;
  return reply;
}

absl::StatusOr<WorkerView> Scheduler::GetWorker(Instant now, const base::WorkerId& worker) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->GetWorker(now, worker);
}

std::vector<WorkerView> Scheduler::ListWorkers(Instant, const base::WorkerId& after,
                                               int limit) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->ListWorkers(after, limit);
}

absl::StatusOr<Committed<int64_t>> Scheduler::AcceptEvents(Instant now, const EventBatch& batch) {
  return Change(now, [&](Core& core) { return core.AcceptEvents(now, batch); });
}

absl::Status Scheduler::CheckUpload(Instant, const UploadSource& source) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->CheckUpload(source);
}

absl::StatusOr<Committed<Published>> Scheduler::RecordCheckpoint(Instant now,
                                                                 const PublishRequest& request) {
  return Change(now, [&](Core& core) { return core.RecordCheckpoint(now, request); });
}

absl::StatusOr<store::CheckpointRecord> Scheduler::GetCheckpoint(
    const base::JobId& job, const base::CheckpointId& checkpoint) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->GetCheckpoint(job, checkpoint);
}

absl::StatusOr<CheckpointsPage> Scheduler::ListCheckpoints(const base::JobId& job,
                                                           std::optional<CheckpointCursor> after,
                                                           int limit) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->ListCheckpoints(job, after, limit);
}

absl::StatusOr<Committed<store::CheckpointRecord>> Scheduler::PinCheckpoint(
    Instant now, const base::JobId& job, const base::CheckpointId& checkpoint, bool pinned) {
  return Change(now, [&](Core& core) { return core.PinCheckpoint(job, checkpoint, pinned); });
}

absl::StatusOr<Committed<Nothing>> Scheduler::DeleteCheckpoint(
    Instant now, const base::JobId& job, const base::CheckpointId& checkpoint) {
  return Change(now, [&](Core& core) { return core.DeleteCheckpoint(job, checkpoint); });
}

void Scheduler::Tick(Instant now) {
  (void)Change(now, [](Core&) { return absl::StatusOr<Nothing>(Nothing()); });
}

absl::Duration Scheduler::NextDeadline() const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->NextDeadline();
}

store::Ticket Scheduler::LastTicket() const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->last_ticket();
}

Snapshot Scheduler::TakeSnapshot(Instant now) const {
  absl::MutexLock lock(&guarded_->mutex);
  return guarded_->core->TakeSnapshot(now);
}

}  // namespace bsnn::scheduler
