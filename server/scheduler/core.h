/// The scheduler's state and its rules, without a lock; scheduler.h has the contract of each call.
///
/// Thread-compatible. Mutations of a call are gathered and enqueued as one batch by Commit, which
/// the caller makes before it lets go of the lock.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "server/scheduler/job_states.h"
#include "server/scheduler/ready_queue.h"
#include "server/scheduler/step_clock.h"
#include "server/scheduler/telemetry.h"
#include "server/scheduler/types.h"

namespace bsnn::scheduler {

class Core {
 public:
  Core(const Options& options, store::JobStore& store, base::RandomBits bits);

  absl::Status Load(Instant now);

  absl::StatusOr<JobView> CreateJob(Instant now, const CreateJobRequest& request);
  absl::StatusOr<JobView> GetJob(Instant now, const base::JobId& job) const;
  ListJobsPage ListJobs(Instant now, const ListJobsRequest& request) const;
  absl::StatusOr<JobView> CancelJob(Instant now, const base::JobId& job, std::string_view etag);
  absl::StatusOr<Nothing> DeleteJob(Instant now, const base::JobId& job, std::string_view etag);

  absl::StatusOr<WorkerView> RegisterWorker(Instant now, const RegisterWorkerRequest& request);
  absl::StatusOr<SynchronizeReply> Synchronize(Instant now, const SynchronizeRequest& request,
                                               store::Ticket& ticket);
  absl::StatusOr<WorkerView> GetWorker(Instant now, const base::WorkerId& worker) const;
  std::vector<WorkerView> ListWorkers(const base::WorkerId& after, int limit) const;
  absl::StatusOr<int64_t> AcceptEvents(Instant now, const EventBatch& batch);

  absl::Status CheckUpload(const UploadSource& source) const;
  absl::StatusOr<Published> RecordCheckpoint(Instant now, const PublishRequest& request);
  absl::StatusOr<store::CheckpointRecord> GetCheckpoint(const base::JobId& job,
                                                        const base::CheckpointId& id) const;
  absl::StatusOr<CheckpointsPage> ListCheckpoints(const base::JobId& job,
                                                  std::optional<CheckpointCursor> after,
                                                  int limit) const;
  absl::StatusOr<store::CheckpointRecord> PinCheckpoint(const base::JobId& job,
                                                        const base::CheckpointId& id, bool pinned);
  absl::StatusOr<Nothing> DeleteCheckpoint(const base::JobId& job, const base::CheckpointId& id);

  /// Does what has become due by `now`.
  void Advance(Instant now);
  absl::Duration NextDeadline() const;
  Snapshot TakeSnapshot(Instant now) const;

  /// Whether something waits for Commit.
  bool HasPending() const { return !batch_.empty() || !touched_.empty(); }
  /// Enqueues what was gathered. The ticket covers it and everything before.
  store::Ticket Commit();
  store::Ticket last_ticket() const { return last_ticket_; }
  std::vector<JobChange> TakeChanges();

 private:
  struct Job {
    store::JobRecord record;
    std::deque<store::AttemptRecord> attempts;  // newest last
    std::map<CheckpointCursor, store::CheckpointRecord> checkpoints;
    std::shared_ptr<const SeriesTable> series = std::make_shared<SeriesTable>();
    std::map<SeriesKey, size_t> series_index;
    std::vector<double> values;  // newest value of each series
    StepClock step_clock;
    bool ready = false;          // in ready_
    absl::Duration ready_since;  // steady; of the queue wait
    absl::Duration due;          // steady; what its state waits for at most: SetDue
    absl::Duration timer = absl::InfiniteDuration();  // the timer that is set for `due`
    absl::Duration deadline;   // steady; scheduling.deadline_seconds, or infinite
    absl::Duration release;    // steady; its series leave /metrics
    store::Ticket ticket = 0;  // covers every change so far
    const store::JobStatus& status() const { return record.status; }
    store::AttemptRecord* live();
    const store::AttemptRecord* live() const;
  };
  struct Worker {
    store::WorkerRecord record;
    std::map<int32_t, int64_t> used;                  // slot index -> job sequence
    absl::Duration last_seen;                         // steady
    absl::Duration timer = absl::InfiniteDuration();  // the earliest that is set for it
    bool lost = false;
    bool draining = false;
    bool confirmed = false;  // has called since this program started: may get new attempts
  };
  // Who looks at what when. A timer may be early; the review then sets it anew.
  struct Timer {
    absl::Duration at;
    int64_t job = 0;  // 0: of the worker
    base::WorkerId worker;
    bool operator>(const Timer& other) const { return at > other.at; }
  };

  // core.cc
  void AddLoaded(Instant now, store::LoadedJob loaded);
  Job* Find(const base::JobId& job);
  const Job* Find(const base::JobId& job) const;
  absl::StatusOr<Job*> Get(const base::JobId& job);
  absl::StatusOr<const Job*> Get(const base::JobId& job) const;
  void Write(Job& job, store::Mutation mutation);
  /// Puts the job's status into the batch, once a call.
  void Touch(Job& job, Instant now);
  JobChange& ChangeOf(const Job& job);
  void SetTimer(absl::Duration at, const Job& job);
  /// Unless an earlier one is set: its review sets the next.
  void SetTimer(absl::Duration at, Worker& worker);
  void Review(Instant now, Job& job, absl::Duration at);
  void Review(Instant now, Worker& worker, absl::Duration at);
  /// Takes the transition; the table must have it.
  void Enter(Instant now, Job& job, Trigger trigger);

  // core_attempts.cc
  void Place(Instant now);
  void StartAttempt(Instant now, Job& job, Worker& worker, int32_t slot);
  void EndAttempt(Instant now, Job& job, store::FailureClass failure, std::string message);
  /// Ends the live attempt, then retries, fails or (while cancelling) cancels the job.
  void LoseAttempt(Instant now, Job& job, store::FailureClass failure, const std::string& message);
  /// Ends the live attempt, which its worker gave back in order: that is no failure of the job.
  void ReturnAttempt(Instant now, Job& job, const std::string& message);
  void EndJob(Instant now, Job& job, Trigger trigger, store::FailureClass failure,
              std::string message);
  absl::Duration HangLimit(const Job& job) const;
  void SetDue(Job& job, absl::Duration due);
  ReadyQueue::Entry EntryOf(const Job& job) const;

  // core_jobs.cc
  absl::StatusOr<JobView> Repeated(Instant now, const Job& job,
                                   const CreateJobRequest& request) const;
  absl::StatusOr<base::JobId> ChooseId(const CreateJobRequest& request);
  JobView ViewOf(Instant now, const Job& job) const;
  std::string MessageOf(Instant now, const Job& job) const;
  std::string WaitMessage(const Job& job) const;
  static std::string EtagOf(const Job& job);
  absl::Status CheckEtag(const Job& job, std::string_view etag) const;

  // core_workers.cc
  WorkerView ViewOf(const Worker& worker) const;
  void FreeSlot(const Worker& worker, int32_t slot);
  void OfferSlots(const Worker& worker);
  void WithdrawSlots(const Worker& worker);
  void LoseWorker(Instant now, Worker& worker, std::string_view why);
  AttemptOrder OrderOf(const Job& job) const;
  absl::Duration LeaseOf(const Worker& worker) const;
  static spec::Device DeviceOf(const Worker& worker, int32_t slot);

  // core_events.cc
  absl::Status CheckBatch(const EventBatch& batch, const Job& job,
                          const store::AttemptRecord& attempt) const;
  void Take(Instant now, Job& job, const spec::Event& event, std::vector<spec::MetricPoint>& points,
            std::vector<store::LogRecord>& lines);
  void TakePoint(Job& job, const spec::MetricPoint& point, std::vector<spec::MetricPoint>& points);
  /// Makes it the newest value of its series; false where that were a series too many.
  static bool Show(Job& job, const spec::MetricPoint& point);
  void TakeFinished(Instant now, Job& job, const spec::Finished& finished);
  static const store::CheckpointRecord* FindDigest(const Job& job, std::string_view digest);

  // core_checkpoints.cc
  std::vector<base::CheckpointId> Retain(Job& job, const base::CheckpointId& newest);
  static store::CheckpointRecord* FindCheckpoint(Job& job, const base::CheckpointId& id);
  static const store::CheckpointRecord* FindCheckpoint(const Job& job,
                                                       const base::CheckpointId& id);

  const Options options_;
  store::JobStore& store_;
  const base::RandomBits bits_;

  std::map<int64_t, Job> jobs_;  // by sequence
  std::unordered_map<base::JobId, int64_t> by_id_;
  std::unordered_map<std::string, int64_t> by_request_;
  std::unordered_map<base::JobId, int32_t> retired_;
  std::set<int64_t> exposed_;  // jobs on /metrics
  int64_t last_sequence_ = 0;

  std::map<base::WorkerId, Worker> workers_;
  // Free slots of workers that may get attempts, by device.
  std::array<std::set<std::pair<base::WorkerId, int32_t>>, kDevices> free_;
  ReadyQueue ready_;

  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;

  store::Batch batch_;
  std::map<int64_t, JobChange> changes_;  // of this call
  std::set<int64_t> touched_;             // jobs whose status is to be written
  std::vector<JobChange> deleted_;
  store::Ticket last_ticket_ = 0;

  Counters counters_;
  std::array<int64_t, kJobStates> jobs_by_state_{};
};

}  // namespace bsnn::scheduler
