/// What the contract suite runs on: a store that can be closed and opened again.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/store/job_store.h"

namespace bsnn::store {

struct StoreUnderTest {
  std::string name;
  /// A new, empty store each time it is called with true; with false the last one, reopened.
  std::function<std::unique_ptr<JobStore>(bool fresh)> open;
  bool survives_closing = true;
};

/// Values with every field set, so that a field that is not kept is seen.
JobRecord SomeJob(const std::string& id, int64_t sequence);
AttemptRecord SomeAttempt(int32_t epoch);
CheckpointRecord SomeCheckpoint(const std::string& job, int32_t attempt_epoch, int64_t step);
WorkerRecord SomeWorker(const std::string& id);
spec::MetricPoint SomePoint(const std::string& name, int64_t step, double value);

base::JobId Job(const std::string& id);

/// Enqueues and waits until it is durable.
void Put(JobStore& store, Batch batch);

}  // namespace bsnn::store
