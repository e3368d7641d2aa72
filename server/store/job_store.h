/// Port: where the coordinator's jobs, attempts, checkpoints, workers, metrics and logs are kept.
///
/// Writing: the scheduler enqueues batches in the order in which it decided, under its lock, and
/// never waits. The store commits them in that order, many in one durable write (group commit); an
/// RPC answers when WhenDurable says that its batch is on disk. There is no failed write: a store
/// that cannot write ends the program (see `on_fatal` of the adapters), and what was not reported
/// durable has then never been acknowledged.
///
/// Reading: LoadAll once at the start; histories (metrics, logs) by page at any time. They see at
/// least what was durable when they began.
///
/// Adapters: sqlite/ (a file) and memory/ (a fake). tests/contract/job_store_contract.h holds them.
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

struct MetricsQuery {
  int64_t after = 0;  ///< cursor: points that arrived after it; 0 is the beginning
  int limit = 0;      ///< 1 to kMetricPageSizeMax
  std::string name;   ///< only this metric; "" is all
  std::string layer;  ///< only this layer; "" is all
};

struct MetricsPage {
  std::vector<spec::MetricPoint> points;  ///< in the order of arrival
  int64_t cursor = 0;  ///< of the last point, or what was asked where there is none
  bool more = false;   ///< there are points beyond these now
};

struct LogsQuery {
  int64_t after = 0;  ///< cursor: lines that arrived after it; 0 is the beginning
  int limit = 0;      ///< 1 to kMetricPageSizeMax
  int tail = 0;       ///< with `after` 0: start at the last n lines; 0 is all
};

struct LogsPage {
  std::vector<LogRecord> lines;  ///< in the order of arrival
  int64_t cursor = 0;
  bool more = false;
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

  /// May wait for the disk. A job that is not there has no points.
  virtual absl::StatusOr<MetricsPage> ListMetrics(const base::JobId& job,
                                                  const MetricsQuery& query) const = 0;
  /// May wait for the disk. A job that is not there has no lines.
  virtual absl::StatusOr<LogsPage> ListLogs(const base::JobId& job,
                                            const LogsQuery& query) const = 0;
};

}  // namespace bsnn::store
