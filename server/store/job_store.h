/// Port: where the coordinator's facts are kept: jobs, attempts, checkpoints, workers. What
/// trainers report (points, lines) is written here too, in the order of the facts, and read through
/// history_store.h.
///
/// Writing: the scheduler enqueues batches in the order in which it decided, under its lock, and
/// never waits. The store commits them in that order, many in one durable write (group commit); an
/// RPC answers when WhenDurable says that its batch is on disk. There is no failed write: a store
/// that cannot write ends the program (see `on_fatal` of the adapters), and what was not reported
/// durable has then never been acknowledged.
///
/// Reading: LoadAll, once at the start.
///
/// Adapters (store.h): sqlite/ (a file) and memory/ (a fake). tests/contract/job_store_contract.h
/// holds them.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "server/store/records.h"

namespace bsnn::store {

/// Number of an enqueued batch, growing by one from 1. 0 is "before everything" and durable.
using Ticket = int64_t;

struct CreateJob {
  JobRecord job;
};
struct UpdateJob {
  base::JobId job;
  JobStatus status;
};
/// Removes the job with its attempts, checkpoints, metrics and logs, and keeps `newest_epoch` for
/// a later job of the same id.
struct DeleteJob {
  base::JobId job;
  int32_t newest_epoch = 0;
};
/// Inserts, or replaces the one of the same epoch.
struct PutAttempt {
  base::JobId job;
  AttemptRecord attempt;
};
/// Inserts, or replaces the one of the same job and id.
struct PutCheckpoint {
  CheckpointRecord checkpoint;
};
struct DeleteCheckpoint {
  base::JobId job;
  base::CheckpointId checkpoint;
};
struct PutWorker {
  WorkerRecord worker;
};
struct DeleteWorker {
  base::WorkerId worker;
};
/// A point replaces the one of the same series and step, and comes after it in the order of
/// arrival.
struct AppendMetrics {
  base::JobId job;
  std::vector<spec::MetricPoint> points;
};
/// Lines beyond limits.h kLogLinesPerJobMax push out the oldest.
struct AppendLogs {
  base::JobId job;
  std::vector<LogRecord> lines;
};

using Mutation = std::variant<CreateJob, UpdateJob, DeleteJob, PutAttempt, PutCheckpoint,
                              DeleteCheckpoint, PutWorker, DeleteWorker, AppendMetrics, AppendLogs>;
/// All or nothing.
using Batch = std::vector<Mutation>;

struct LoadedJob {
  JobRecord job;
  std::vector<AttemptRecord> attempts;        ///< oldest first; at most kAttemptsShownMax
  std::vector<CheckpointRecord> checkpoints;  ///< oldest first
  std::vector<spec::MetricPoint> latest;      ///< newest point of each series; unless ended
};

struct RetiredId {
  base::JobId job;
  int32_t newest_epoch = 0;
};

struct LoadedState {
  std::vector<LoadedJob> jobs;  ///< in the order of creation
  std::vector<WorkerRecord> workers;
  std::vector<RetiredId> retired;  ///< ids of deleted jobs that had been placed
  int64_t last_sequence = 0;       ///< largest JobRecord.sequence ever given
};

/// Thread-safe. Outlives its scheduler.
class JobStore {
 public:
  /// Called on the store's writer thread; does bounded work and never waits.
  using DurableCallback = std::function<void()>;

  virtual ~JobStore() = default;

  /// Takes the batch for writing, behind all earlier ones. Never waits for the disk; callers keep
  /// the queue bounded by asking HasRoom before they accept work. An empty batch is not allowed.
  virtual Ticket Enqueue(Batch batch) = 0;

  /// Calls `callback` once every batch up to `ticket` is durable: at once, on this thread, where
  /// that is so; else on the writer thread. After the store has failed, never.
  virtual void WhenDurable(Ticket ticket, DurableCallback callback) = 0;

  /// Largest ticket that is durable.
  virtual Ticket Durable() const = 0;

  /// False while more is waiting to be written than kStoreBacklogBytesMax: refuse new work with
  /// Unavailable.
  virtual bool HasRoom() const = 0;

  /// Everything but histories. Call before the first Enqueue.
  virtual absl::StatusOr<LoadedState> LoadAll() = 0;
};

}  // namespace bsnn::store
