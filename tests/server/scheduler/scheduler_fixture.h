/// A scheduler on a memory store, with time that moves when told, and workers that are scripted.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/fault.h"
#include "server/cluster/job_states.h"
#include "server/scheduler/scheduler.h"
#include "server/store/memory/memory_job_store.h"
#include "server/telemetry/telemetry.h"

namespace bsnn::scheduler {

inline base::JobId J(const std::string& id) { return *base::JobId::Make(id); }
inline base::WorkerId W(const std::string& id) { return *base::WorkerId::Make(id); }
inline std::string ReasonOf(const absl::Status& status) { return base::ReasonOf(status).reason; }

class SchedulerFixture : public testing::Test, public Observer {
 protected:
  SchedulerFixture() { Start(); }

  /// As a start of the program on what the store has.
  void Start();
  /// The same, where reading what the store has takes `replay`, after which the wall clock has been
  /// set by `wall_jump` besides.
  void RestartAfter(absl::Duration replay, absl::Duration wall_jump = absl::ZeroDuration());
  Instant now() const { return now_; }
  /// Time passes, and the scheduler is told all the while.
  void Pass(absl::Duration duration);
  /// Time passes, and the program does not run.
  void Sleep(absl::Duration duration);

  CreateJobRequest Request(const std::string& id);
  JobView Create(const std::string& id);
  JobView Create(const CreateJobRequest& request);
  JobView Get(const std::string& id);
  JobState StateOf(const std::string& id) { return Get(id).record.status.state; }

  /// Registers `worker` with CPU slots, or CUDA ones.
  void AddWorker(const std::string& worker, int slots = 1, const std::string& incarnation = "1",
                 spec::Device device = spec::Device::kCpu);
  /// A call of the worker that has just the attempts it was ordered to run.
  std::vector<AttemptOrder> Sync(const std::string& worker, const std::string& incarnation = "1",
                                 bool draining = false);
  /// Reports what the job's live attempt says, with the next sequence numbers.
  template <class... Kinds>
  absl::StatusOr<Committed<int64_t>> Say(const std::string& job, Kinds... kinds) {
    return Publish(job, {kinds...});
  }
  using Kind = decltype(spec::Event::kind);
  absl::StatusOr<Committed<int64_t>> Publish(const std::string& job, std::vector<Kind> kinds);
  EventBatch BatchOf(const std::string& job, std::vector<Kind> kinds);

  static spec::Started Started() { return {.device = "cpu", .steps_total = 100}; }
  static spec::Progress At(int64_t step) { return {.step = step, .steps_total = 100}; }
  static spec::MetricPoint Point(const std::string& name, int64_t step, double value) {
    return {name, "all", "", -1, step, 1, value};
  }
  static spec::Finished Failure(spec::TrainerFailure failure, const std::string& why) {
    return {.outcome = spec::Outcome::kFailed, .failure = failure, .message = why};
  }
  static spec::Finished Success(const std::string& digest) {
    return {.outcome = spec::Outcome::kSucceeded,
            .step = 100,
            .accuracy_ratio = 0.5,
            .checkpoint_digest = digest};
  }
  /// Publishes a checkpoint of the live attempt.
  absl::StatusOr<Committed<Published>> Upload(const std::string& job, int64_t step,
                                              const std::string& digest, double accuracy = 0.5);

  void OnChanges(store::Ticket, const std::vector<JobChange>& changes) override {
    changes_.insert(changes_.end(), changes.begin(), changes.end());
  }

  Options options_;
  std::unique_ptr<store::MemoryJobStore> store_ = std::make_unique<store::MemoryJobStore>();
  std::unique_ptr<telemetry::Telemetry> telemetry_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<JobChange> changes_;

 private:
  Instant now_{absl::FromUnixSeconds(1'700'000'000), absl::Seconds(1000)};
  uint64_t bits_ = 1;
  std::map<std::string, std::string> incarnations_;         // newest of each worker
  std::map<std::string, std::vector<AttemptReport>> held_;  // attempts of workers
};

}  // namespace bsnn::scheduler
