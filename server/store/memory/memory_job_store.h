/// JobStore in memory: the fake of tests, with the same contract as the real one.
///
/// Batches become durable at once, or, after Hold(), when the test calls Release: so that tests can
/// see what happens between a decision and its durability, and drop what never got there.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <deque>
#include <map>
#include <string>

#include "server/store/durability.h"
#include "server/store/store.h"

namespace bsnn::store {

/// Thread-safe.
class MemoryJobStore final : public Store {
 public:
  Ticket Enqueue(Batch batch) override;
  void WhenDurable(Ticket ticket, DurableCallback callback) override;
  Ticket Durable() const override { return durability_.durable(); }
  bool HasRoom() const override;
  absl::StatusOr<LoadedState> LoadAll() override;
  absl::StatusOr<MetricsPage> ListMetrics(const base::JobId& job,
                                          const MetricsQuery& query) const override;
  absl::StatusOr<LogsPage> ListLogs(const base::JobId& job, const LogsQuery& query) const override;

  /// From now on batches wait.
  void Hold();
  /// Makes the `count` oldest waiting batches durable (all of them: -1) and goes on holding.
  void Release(int count = -1);
  /// A crash: what waits is lost. The store then is what a restart would find; the tickets begin
  /// anew and callbacks that waited are never called.
  void Crash();
  /// What HasRoom answers.
  void SetRoom(bool room);

 private:
  struct Point {
    int64_t arrival;
    spec::MetricPoint point;
  };
  struct Line {
    int64_t arrival;
    LogRecord line;
  };
  struct Job {
    JobRecord record;
    std::map<int32_t, AttemptRecord> attempts;
    std::map<base::CheckpointId, CheckpointRecord> checkpoints;
    std::vector<Point> points;
    std::deque<Line> lines;
  };

  void Apply(Mutation& mutation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(CreateJob& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(DeleteJob& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(AppendMetrics& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(AppendLogs& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Job* Find(const base::JobId& job) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<int64_t, Job> jobs_ ABSL_GUARDED_BY(mutex_);
  std::map<base::JobId, int64_t> sequences_ ABSL_GUARDED_BY(mutex_);
  std::map<base::WorkerId, WorkerRecord> workers_ ABSL_GUARDED_BY(mutex_);
  std::map<base::JobId, int32_t> retired_ ABSL_GUARDED_BY(mutex_);
  std::deque<Batch> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t last_arrival_ ABSL_GUARDED_BY(mutex_) = 0;
  Ticket last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool room_ ABSL_GUARDED_BY(mutex_) = true;
  Durability durability_;
};

}  // namespace bsnn::store
