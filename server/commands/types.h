/// Values that go in and out of the coordinator's commands.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/cluster/apply.h"
#include "server/cluster/facts.h"
#include "server/store/job_store.h"
#include "server/store/records.h"

namespace bsnn::commands {

using cluster::CheckpointCursor;

/// Now, by both clocks: `wall` goes into records, `steady` drives every limit. Within commands,
/// `steady` is time of the attention clock (scheduler/attention_clock.h).
struct Instant {
  absl::Time wall;
  absl::Duration steady;
};

/// A value that may be sent once the store says that `ticket` is durable (JobStore::WhenDurable).
template <class T>
struct Committed {
  T value;
  store::Ticket ticket = 0;
};
struct Nothing {};

struct Options {
  absl::Duration lease = absl::Seconds(15);  ///< a worker silent for longer gets nothing new
  /// A worker silent for longer is lost: its attempts end. Earlier where a job of it fits
  /// elsewhere. At least the lease.
  absl::Duration lost_after = absl::Minutes(3);
  /// After a start of the coordinator, the workers of before get the lease, but at least this: they
  /// have been backing off.
  absl::Duration recovery_min = absl::Seconds(10);
  absl::Duration next_call = absl::Seconds(1);              ///< a worker's calls, when quiet
  absl::Duration next_call_busy = absl::Milliseconds(200);  ///< while something changes
  absl::Duration start_limit = absl::Minutes(30);  ///< longest STARTING: restoring, loading data
  absl::Duration hang_limit = absl::Minutes(10);   ///< no step for longer, at the least, is a hang
  double hang_steps = 10;  ///< ... and at least so many times the median time of a step
  absl::Duration cancel_margin = absl::Seconds(10);  ///< beyond the grace, CANCELLING is ended
  absl::Duration series_linger = absl::Seconds(90);  ///< an ended job's series stay on /metrics
  absl::Duration worker_linger = absl::Hours(24);    ///< a lost worker stays listed
};

// ---- Jobs ----------------------------------------------------------------------------------

/// Job.Pending.Reason of the proto, in order of precedence: the first that is true is told.
enum class PendingReason : int32_t {
  kNone = 0,
  kPaused = 1,
  kNoSuchDevice = 2,
  kExceedsCluster = 3,
  kExceedsQuota = 4,
  kQueueStopped = 5,
  kBackOff = 6,
  kQuotaUsed = 7,
  kNoWorkerOnline = 8,
  kReservedFor = 9,
  kFragmented = 10,
  kWaitingForPreempted = 11,
  kWaitingForSlots = 12,
  kNotEvaluated = 13,
};
inline constexpr int kPendingReasons = 14;  ///< one past the largest PendingReason

/// A job as a caller sees it: a consistent copy.
struct JobView {
  store::JobRecord record;
  std::vector<store::AttemptRecord> attempts;    ///< newest last, at most kAttemptsShownMax
  std::string state_message;                     ///< one sentence for people
  PendingReason pending = PendingReason::kNone;  ///< why it waits; kNone when not queued
  int32_t queue_position = 0;                    ///< 1 is next; 0 when not queued
  std::string etag;
};

struct CreateJobRequest {
  std::string wanted_id;   ///< "" lets the scheduler choose
  std::string request_id;  ///< "" for no protection against repeats
  std::string display_name;
  std::map<std::string, std::string> labels;
  spec::JobSpec spec;  ///< validated by the caller
};

struct ListJobsRequest {
  int limit = 0;                        ///< 1 to kPageSizeMax
  int64_t before = 0;                   ///< only jobs created before this sequence; 0 is all
  std::vector<store::JobState> states;  ///< empty is all
};
struct ListJobsPage {
  std::vector<JobView> jobs;  ///< newest first
  int64_t next_before = 0;    ///< `before` of the next page; 0 on the last
};

// ---- Workers -------------------------------------------------------------------------------

inline constexpr int kWorkerStates = 6;  ///< one past the largest WorkerState

/// Worker.State of the proto.
enum class WorkerState : int32_t {
  kOnline = 1,
  kDraining = 2,
  kLost = 3,
  kSilent = 4,   ///< its lease is over: it gets nothing new; its attempts are kept
  kSuspect = 5,  ///< attempts on it keep failing before their first step
};

struct WorkerView {
  store::WorkerRecord record;
  WorkerState state = WorkerState::kOnline;
  std::string state_message;  ///< why it is silent or suspect; "" else
  int32_t slots_used = 0;
  std::vector<base::JobId> jobs;  ///< it runs now
};

struct RegisterWorkerRequest {
  base::WorkerId id;
  std::string incarnation;
  std::vector<store::Slot> slots;
  std::string version;
  std::string hostname;
  std::map<std::string, std::string> labels;
  int32_t spec_version = 1;          ///< the newest spec it can read
  std::string replaces_incarnation;  ///< which it was before its restart; "" where it is new
  /// Data sets it has; nothing: it does not say.
  std::optional<std::vector<store::DataSet>> data_sets;
};

/// AttemptReport.Phase of the proto.
enum class Phase : int32_t { kPreparing = 1, kTraining = 2, kStopping = 3, kEnded = 4 };

struct AttemptReport {
  base::JobId job;
  int32_t epoch = 0;
  Phase phase = Phase::kPreparing;
  int64_t events_pending = 0;     ///< events not acknowledged yet
  int64_t upload_bytes_left = 0;  ///< of checkpoints that wait for their upload or are under way
};

struct SynchronizeRequest {
  base::WorkerId worker;
  std::string incarnation;
  std::vector<AttemptReport> attempts;  ///< everything it has
  bool draining = false;
  int64_t number = 0;  ///< grows with each call of an incarnation; 0: it does not say
};

/// AttemptOrder.Action of the proto.
enum class Action : int32_t { kRun = 1, kStop = 2 };

struct AttemptOrder {
  base::JobId job;
  int32_t epoch = 0;
  Action action = Action::kRun;
  int32_t slot = 0;  ///< with kRun
  // With kRun, unless the worker has the attempt already.
  std::optional<spec::SharedSpec> spec;
  std::vector<base::CheckpointId> checkpoints;  ///< newest first
  absl::Duration grace;                         ///< with kStop
};

struct SynchronizeReply {
  std::vector<AttemptOrder> orders;
  absl::Duration next_call;
};

/// Events of one attempt, as a worker publishes them.
struct EventBatch {
  base::WorkerId worker;
  base::JobId job;
  int32_t epoch = 0;
  std::vector<spec::Event> events;  ///< 1 to kEventsPerBatchMax
};

// ---- Checkpoints ---------------------------------------------------------------------------

/// Who uploads: checked against the job's attempts before blobs are taken and at the end.
struct UploadSource {
  base::WorkerId worker;
  base::JobId job;
  int32_t attempt_epoch = 0;
};

struct PublishRequest {
  UploadSource source;
  int64_t step = 0;
  int32_t epoch = 0;
  std::string digest;
  std::vector<store::CheckpointFile> files;  ///< manifest.json first
  double accuracy_ratio = 0;
  /// Newest event of the attempt before this checkpoint: it must be durable first. 0: not said.
  int64_t after_event_sequence = 0;
};

/// A recorded checkpoint, and what retention removed for it: the caller deletes their blobs once
/// the ticket is durable.
struct Published {
  store::CheckpointRecord checkpoint;
  std::vector<base::CheckpointId> removed;
};

struct CheckpointsPage {
  std::vector<store::CheckpointRecord> checkpoints;  ///< newest step first
  std::optional<CheckpointCursor> next;              ///< `after` of the next page, if there is one
};

// ---- Observing -----------------------------------------------------------------------------

/// What of a job changed.
using JobChange = cluster::Touched::Change;

/// Port: told of every change, by the thread that made it, after the scheduler's lock was
/// released. Two threads' calls may come in either order: wake readers, and let them read anew.
class Observer {
 public:
  virtual ~Observer() = default;
  /// The changes are in memory; they and their histories are readable from the store once
  /// `ticket` is durable. Bounded work; may call the scheduler.
  virtual void OnChanges(store::Ticket ticket, const std::vector<JobChange>& changes) = 0;
};

}  // namespace bsnn::commands
