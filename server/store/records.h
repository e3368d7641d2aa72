/// What the coordinator keeps: plain values of jobs, attempts, checkpoints and workers.
///
/// Shared by the scheduler (which decides) and the JobStore port (which keeps). Enum values are
/// persisted and equal those of proto/bsnn/v1: never renumber one.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "server/store/packed.h"
#include "spec/event.h"
#include "spec/job_spec.h"
#include "spec/shared_spec.h"

namespace bsnn::store {

/// Job.State of proto/bsnn/v1/job.proto. server/cluster/job_states.h has the transitions.
enum class JobState : int32_t {
  kQueued = 1,
  kStarting = 2,
  kRunning = 3,
  kPreempting = 4,  ///< reserved
  kPausing = 5,     ///< reserved
  kPaused = 6,      ///< reserved
  kCancelling = 7,
  kSucceeded = 8,
  kFailed = 9,
  kCancelled = 10,
  kExpired = 11,
};

/// Job.FailureClass of proto/bsnn/v1/job.proto.
enum class FailureClass : int32_t {
  kNone = 0,
  kUserError = 1,
  kWorkerLost = 2,
  kPreempted = 3,  ///< reserved
  kInfrastructure = 4,
  kHang = 5,
  kDeadline = 6,
  kDataUnavailable = 7,  ///< the worker lacks the data set, or what it has is damaged
};

/// Why a live attempt has been asked to stop.
enum class StopReason : int32_t {
  kNone = 0,
  kCancel = 1,    ///< its job is being cancelled
  kDeadline = 2,  ///< its job ran past scheduling.deadline_seconds
};

struct JobProgress {
  int64_t step = 0;
  int64_t steps_total = 0;
  int32_t epoch = 0;  ///< 1-based, the pass under way
  int32_t epochs_total = 0;
  double images_per_second = 0;
  double eta_seconds = 0;
  absl::Time update_time = absl::InfinitePast();  ///< InfinitePast before the first report
  bool operator==(const JobProgress&) const = default;
};

struct JobResult {
  double accuracy_ratio = 0;  ///< may be NaN
  int64_t steps = 0;
  base::CheckpointId checkpoint;
  std::string checkpoint_digest;
};

/// The part of a job that changes. Times that have not come are absl::InfiniteFuture().
struct JobStatus {
  JobState state = JobState::kQueued;
  int64_t version = 1;        ///< grows with every change a caller could act on: the etag
  int32_t newest_epoch = 0;   ///< fencing epoch of the newest attempt; 0 before the first
  int32_t restart_count = 0;  ///< attempts that were followed by another, but for drained ones
  /// Failures since the newest checkpoint (or the start): scheduling.max_restarts bounds them, and
  /// the back-off grows with them. A lost worker is no failure of the job.
  int32_t failures_in_row = 0;
  absl::Time not_before = absl::InfinitePast();  ///< end of the back-off while queued
  absl::Time start_time = absl::InfiniteFuture();
  absl::Time end_time = absl::InfiniteFuture();
  absl::Time update_time = absl::InfiniteFuture();
  absl::Time cancel_time = absl::InfiniteFuture();  ///< when cancelling began
  JobProgress progress;
  Boxed<JobResult> result;                           ///< where succeeded
  FailureClass failure_class = FailureClass::kNone;  ///< where failed or expired
  std::string message;        ///< how it ended, or why it was last restarted; "" else
  int64_t metric_points = 0;  ///< points kept so far
  int64_t metric_points_dropped = 0;
};

/// A job. Everything but `status` is fixed at creation.
struct JobRecord {
  base::JobId id;
  int64_t sequence = 0;    ///< order of creation, from 1, never reused
  bool id_wanted = false;  ///< the request named the id; else the server chose it
  std::string request_id;  ///< "" for none
  std::string display_name;
  PackedLabels labels;
  spec::SharedSpec spec;
  absl::Time create_time;
  JobStatus status;
};

/// One placement of a job. `epoch` counts from 1 within the job (further where its id was used by a
/// deleted job before, so that an old trainer of that one stays fenced).
struct AttemptRecord {
  int32_t epoch = 0;
  base::WorkerId worker;
  std::string incarnation;  ///< of the worker when it was placed
  int32_t slot = 0;
  absl::Time start_time;
  absl::Time end_time = absl::InfiniteFuture();  ///< InfiniteFuture while it lives
  FailureClass failure_class = FailureClass::kNone;
  std::string message;
  int64_t resumed_from_step = 0;
  int64_t acknowledged_sequence = 0;  ///< every event up to here has been taken
  bool finished = false;              ///< its Finished event has been taken
  StopReason stop = StopReason::kNone;

  bool live() const { return end_time == absl::InfiniteFuture(); }
};

struct CheckpointFile {
  std::string name;  ///< [a-z0-9_.-]{1,63}
  int64_t size_bytes = 0;
  std::string sha256;  ///< lower-case hexadecimal
  bool operator==(const CheckpointFile&) const = default;
};

/// A published checkpoint: its blobs are complete and verified.
struct CheckpointRecord {
  base::JobId job;
  base::CheckpointId id;
  int64_t step = 0;
  int32_t epoch = 0;  ///< passes over the data it has seen
  int32_t attempt_epoch = 0;
  std::string digest;                 ///< SHA-256 of manifest.json, lower-case hexadecimal
  std::vector<CheckpointFile> files;  ///< manifest.json first
  int64_t size_bytes = 0;
  double accuracy_ratio = 0;  ///< NaN where it was not evaluated
  int64_t metric_points = 0;  ///< points the job's history kept when it was recorded
  bool pinned = false;
  absl::Time create_time;
};

struct Slot {
  int32_t index = 0;
  spec::Device device = spec::Device::kCpu;  ///< kCpu or kCuda
  std::string description;
  int64_t memory_bytes = 0;
  bool operator==(const Slot&) const = default;
};

/// A data set that lies on a worker. `fingerprint` changes where its files change; "": not known.
struct DataSet {
  spec::DataName name = spec::DataName::kMnist;
  std::string fingerprint;
  bool operator==(const DataSet&) const = default;
};

struct WorkerRecord {
  base::WorkerId id;
  std::string incarnation;
  std::vector<Slot> slots;
  std::string version;
  std::string hostname;
  std::map<std::string, std::string> labels;
  std::optional<std::vector<DataSet>> data_sets;  ///< nothing: it does not say
  int32_t spec_version = 1;                       ///< the newest spec it can read
  absl::Time register_time;
  absl::Time last_seen_time;  ///< as of the last write: registering, being lost, coming back
  bool lost = false;          ///< its attempts were given up; a call of it makes this false again
};

struct LogRecord {
  absl::Time time;
  int32_t attempt_epoch = 0;
  spec::Severity severity = spec::Severity::kInfo;
  std::string message;
  bool operator==(const LogRecord&) const = default;
};

}  // namespace bsnn::store
