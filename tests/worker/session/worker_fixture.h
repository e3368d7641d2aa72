/// A worker in this process, its fake coordinator and fake trainer, in a folder of their own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "tests/worker/session/fake_coordinator.h"
#include "tests/support/keep_grpc.h"
#include "tests/worker/support/temp_folder.h"
#include "worker/worker.h"

namespace bsnn::test {

class WorkerTest : public testing::Test {
 protected:
  WorkerTest() : coordinator_("unix:" + (folder_ / "socket").string()) {
    std::filesystem::create_directories(folder_ / "data");
  }

  worker::Config MakeConfig() const {
    worker::Config config;
    config.coordinator = coordinator_.address();
    config.id = "worker-a";
    config.data = folder_ / "data";
    config.work = folder_ / "work";
    config.device = "cpu";
    config.trainer = BSNN_FAKE_TRAINER;
    config.disk_free_min_mib = 1;
    config.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "MARK=inherited"};
    return config;
  }
  void StartWorker() { StartWorker(MakeConfig()); }
  void StartWorker(const worker::Config& config) {
    auto started = worker::Worker::Start(config, base::RealClock());
    ASSERT_TRUE(started.ok()) << started.status();
    worker_ = *std::move(started);
  }

  /// What the trainer does (support/fake_trainer).
  void Plan(const std::string& text) { Append(folder_ / "data/plan", text); }
  void Touch(const std::string& name) { Append(folder_ / "data" / name, ""); }
  bool HasFile(const std::string& name) { return std::filesystem::exists(folder_ / name); }
  void Order(const std::vector<v1::AttemptOrder>& orders) {
    coordinator_.With([&](FakeState& state) { state.orders = orders; });
  }
  void Store(const std::string& id, const StoredCheckpoint& checkpoint) {
    coordinator_.With(
        [&](FakeState& state) { state.checkpoints["jobs/job-a/checkpoints/" + id] = checkpoint; });
  }

  /// Waits for the attempt's Finished to be taken.
  bool WaitForFinished(const std::string& attempt = "job-a.1") {
    return coordinator_.WaitFor([&](const FakeState& state) {
      const auto found = state.events.find(attempt);
      return found != state.events.end() && FinishedOf(found->second) != nullptr;
    });
  }
  std::vector<spec::Event> Events(const std::string& attempt = "job-a.1") {
    return coordinator_.With([&](FakeState& state) { return state.events[attempt]; });
  }
  spec::Finished Finished(const std::string& attempt = "job-a.1") {
    const auto events = Events(attempt);
    const spec::Finished* finished = FinishedOf(events);
    return finished == nullptr ? spec::Finished() : *finished;
  }
  bool WaitForLog(const std::string& text, const std::string& attempt = "job-a.1") {
    return coordinator_.WaitFor([&](const FakeState& state) {
      const auto found = state.events.find(attempt);
      if (found == state.events.end()) return false;
      for (const std::string& log : LogsOf(found->second)) {
        if (log.find(text) != std::string::npos) return true;
      }
      return false;
    });
  }
  /// The worker has answered orders given before.
  bool WaitForRounds(int count) {
    const int before = coordinator_.With([](FakeState& state) { return state.synchronizations; });
    return coordinator_.WaitFor([before, count](const FakeState& state) {
      return state.synchronizations >= before + count;
    });
  }

  TempFolder folder_;
  FakeCoordinator coordinator_;
  std::unique_ptr<worker::Worker> worker_;
};

}  // namespace bsnn::test
