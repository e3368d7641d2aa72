/// What the contract suite runs on: a store that can be closed and opened again.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/store/store.h"

namespace bsnn::store {

struct StoreUnderTest {
  std::string name;
  /// A new, empty store each time it is called with true; with false the last one, reopened.
  std::function<std::unique_ptr<Store>(bool fresh)> open;
  bool survives_closing = true;
  std::function<void()> remove = [] {};  ///< what it left on disk
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

class JobStoreContract : public testing::TestWithParam<StoreUnderTest> {
 protected:
  void SetUp() override { store_ = GetParam().open(true); }
  void TearDown() override {
    store_.reset();
    GetParam().remove();
  }
  /// Closes and opens it, where it outlives that.
  void Reopen() {
    if (!GetParam().survives_closing) return;
    store_.reset();
    store_ = GetParam().open(false);
  }
  LoadedState Load() {
    auto state = store_->LoadAll();
    EXPECT_TRUE(state.ok()) << state.status();
    return *std::move(state);
  }
  std::vector<double> Values(const MetricsQuery& query) {
    const auto page = store_->ListMetrics(Job("one"), query);
    EXPECT_TRUE(page.ok()) << page.status();
    std::vector<double> values;
    for (const auto& point : page->points) values.push_back(point.value);
    return values;
  }

  std::unique_ptr<Store> store_;
};

}  // namespace bsnn::store
