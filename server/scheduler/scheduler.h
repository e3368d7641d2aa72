/// The coordinator's mind, behind one lock: commands change facts through a Transaction, the policy
/// decides who runs where, the store gets each call's mutations as one batch.
///
/// Time is a value: every call brings `now`, first does what has become due by it, then its own
/// work. Nothing here waits, reads a clock, or starts a thread; whoever owns the scheduler calls
/// Tick several times a second (attention_clock.h says why).
///
/// Each change is made in memory and enqueued to the store as one batch under the same lock, so
/// that the store sees changes in the order in which they were decided. A caller may tell the
/// outside only after the ticket it got is durable: this also holds for repeats (an idempotent
/// CreateJob gets a ticket that covers the first one) and for orders to workers (an epoch is
/// durable before a trainer runs under it). An error may rest on a change as well (an attempt is
/// fenced because its worker was lost): it is told once LastTicket is durable. Reads
/// answer from memory.
///
/// Threads: thread-safe, one mutex, held for memory work only. Lock order: this, then the store's
/// queue. Telemetry and the Observer are called without the lock. Ownership: borrows store,
/// telemetry and observer.
///
/// Errors carry a base::Reason; the message names the id, what was met and what is allowed.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "server/scheduler/types.h"
#include "server/store/job_store.h"
#include "server/telemetry/telemetry.h"

namespace bsnn::scheduler {

class Scheduler {
 public:
  /// Reads what `store` holds. `observer` may be null. `bits` draws job ids. DataLoss where the
  /// store contradicts itself.
  static absl::StatusOr<std::unique_ptr<Scheduler>> Make(const Options& options,
                                                         store::JobStore& store,
                                                         telemetry::Telemetry& telemetry,
                                                         Observer* observer, base::RandomBits bits);
  /// Takes over from before, at a `now` after Make has returned: live attempts are kept, and their
  /// workers get a fresh lease to report in. Before every other call, once.
  void Begin(Instant now);
  ~Scheduler();

  // Jobs.

  /// A new QUEUED job, or the one made before under the same request_id. InvalidArgument for a
  /// wanted id that is none; AlreadyExists with reason REQUEST_ID_REUSED (the same request_id with
  /// another request) or JOB_ID_TAKEN; ResourceExhausted with LIMIT_EXCEEDED beyond kJobsMax;
  /// Unavailable with STORE_BUSY.
  absl::StatusOr<Committed<JobView>> CreateJob(Instant now, const CreateJobRequest& request);

  /// NotFound with JOB_NOT_FOUND.
  absl::StatusOr<JobView> GetJob(Instant now, const base::JobId& job) const;
  ListJobsPage ListJobs(Instant now, const ListJobsRequest& request) const;

  /// A queued job ends at once, one with an attempt goes to CANCELLING; one that has ended stays as
  /// it is. Aborted with ETAG_MISMATCH where `etag` is set and not the job's.
  absl::StatusOr<Committed<JobView>> CancelJob(Instant now, const base::JobId& job,
                                               std::string_view etag);

  /// FailedPrecondition with JOB_NOT_ENDED before that; ETAG_MISMATCH as above. The caller deletes
  /// the job's blobs (everything below its id) once the ticket is durable.
  absl::StatusOr<Committed<Nothing>> DeleteJob(Instant now, const base::JobId& job,
                                               std::string_view etag);

  // Workers.

  /// New, known, or come back. Another incarnation than before ends the attempts of the one before
  /// as WORKER_LOST; AlreadyExists with WORKER_ID_IN_USE where that one has called lately and is
  /// not the one that the newcomer replaces. InvalidArgument for faulty slots; LIMIT_EXCEEDED
  /// beyond kWorkersMax.
  absl::StatusOr<Committed<WorkerView>> RegisterWorker(Instant now,
                                                       const RegisterWorkerRequest& request);

  /// Renews the lease and says what the worker should be doing. NotFound with WORKER_UNKNOWN where
  /// id or incarnation is not registered: register again, keep the trainers.
  absl::StatusOr<Committed<SynchronizeReply>> Synchronize(Instant now,
                                                          const SynchronizeRequest& request);

  absl::StatusOr<WorkerView> GetWorker(Instant now, const base::WorkerId& worker) const;
  /// In the order of their ids, after `after` (empty: from the first), at most `limit`.
  std::vector<WorkerView> ListWorkers(Instant now, const base::WorkerId& after, int limit) const;

  /// Takes the events that are new and gives the sequence number up to which all are taken.
  /// FailedPrecondition with ATTEMPT_FENCED for an attempt that is not the job's live one (a repeat
  /// of what ended it is acknowledged again); with CHECKPOINT_MISSING for a success whose digest is
  /// not in the catalogue (nothing of the batch is taken); OutOfRange with EVENT_GAP (metadata
  /// acknowledged_sequence); InvalidArgument for numbers that are not contiguous or an event after
  /// Finished.
  absl::StatusOr<Committed<int64_t>> AcceptEvents(Instant now, const EventBatch& batch);

  // Checkpoints.

  /// The id under which this attempt's checkpoint of `step` is kept: a{epoch}-step-{step:08}.
  static base::CheckpointId CheckpointIdOf(int32_t attempt_epoch, int64_t step);

  /// Whether the source may upload now: OK for the job's live attempt of that worker; else
  /// ATTEMPT_FENCED or JOB_NOT_FOUND. Check before taking bytes.
  absl::Status CheckUpload(Instant now, const UploadSource& source) const;

  /// Puts a checkpoint, whose blobs are all published under "{job}/{id}/{file}", in the catalogue.
  /// Repeating it gives the same; the same id with another digest is AlreadyExists with
  /// CHECKPOINT_ID_TAKEN; Unavailable with EVENTS_FIRST while events that came before it are
  /// missing. Errors of CheckUpload. Retention: the job's newest keep_latest,
  /// the keep_best most accurate besides, pinned ones and this one stay.
  absl::StatusOr<Committed<Published>> RecordCheckpoint(Instant now, const PublishRequest& request);

  /// NotFound with CHECKPOINT_NOT_FOUND, here and below.
  absl::StatusOr<store::CheckpointRecord> GetCheckpoint(const base::JobId& job,
                                                        const base::CheckpointId& checkpoint) const;
  /// Newest step first, at most `limit`, after `after` where it is set. JOB_NOT_FOUND.
  absl::StatusOr<CheckpointsPage> ListCheckpoints(const base::JobId& job,
                                                  std::optional<CheckpointCursor> after,
                                                  int limit) const;
  absl::StatusOr<Committed<store::CheckpointRecord>> PinCheckpoint(
      Instant now, const base::JobId& job, const base::CheckpointId& checkpoint, bool pinned);
  /// FailedPrecondition with CHECKPOINT_PINNED. The caller deletes its blobs once durable.
  absl::StatusOr<Committed<Nothing>> DeleteCheckpoint(Instant now, const base::JobId& job,
                                                      const base::CheckpointId& checkpoint);

  // Time and telemetry.

  /// Does what is due. Call several times a second.
  void Tick(Instant now);
  /// Steady time of the next thing that becomes due; InfiniteDuration for none.
  absl::Duration NextDeadline() const;
  Snapshot TakeSnapshot(Instant now) const;
  /// Covers every change made so far.
  store::Ticket LastTicket() const;

 private:
  struct Guarded;

  Scheduler(std::unique_ptr<Guarded> guarded, const Options& options, store::JobStore& store,
            telemetry::Telemetry& telemetry, Observer* observer);

  /// Does what is due, then `call(transaction)`, then what the policy decides; enqueues it all as
  /// one batch and reports it. Gives `view(what call gave)`, made at the end of all that.
  template <class Call, class View>
  auto Change(Instant now, Call&& call, View&& view);
  /// Shows and hides jobs on /metrics, and tells the observer, without the lock.
  void Report(Instant now, store::Ticket ticket, const std::vector<JobChange>& changes);

  const Options options_;
  store::JobStore& store_;
  telemetry::Telemetry& telemetry_;
  Observer* const observer_;
  std::unique_ptr<Guarded> guarded_;  // the mutex and the state behind it
};

}  // namespace bsnn::scheduler
