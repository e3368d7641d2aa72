// Who is to blame for a failure: a place that is broken, a job that is, or nobody.
#include <functional>

#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class Blame : public SchedulerFixture {
 protected:
  /// Runs workers for `time`: each attempt on a worker ends as `fate(worker, job)` says.
  using Fate = std::function<std::vector<Kind>(const std::string& worker)>;
  void RunWorkers(const std::vector<std::string>& workers, absl::Duration time, const Fate& fate) {
    for (absl::Duration passed; passed < time; passed += absl::Seconds(1)) {
      for (const std::string& worker : workers) {
        for (const AttemptOrder& order : Sync(worker)) {
          if (order.action != Action::kRun) continue;
          const std::string job = order.job.value();
          if (Get(job).record.status.state != JobState::kStarting) continue;
          auto kinds = fate(worker);
          if (std::holds_alternative<spec::Started>(kinds.front())) {
            ASSERT_TRUE(Publish(job, {kinds.begin(), kinds.end() - 1}).ok());
            ASSERT_TRUE(Upload(job, 100, "d-" + job).ok());
            ASSERT_TRUE(Say(job, Success("d-" + job)).ok());
          } else {
            ASSERT_TRUE(Publish(job, kinds).ok());
          }
        }
      }
      Pass(absl::Seconds(1));
    }
  }
  static std::vector<Kind> Trains() { return {Started(), At(50), At(100)}; }
};

TEST_F(Blame, AWorkerWithAnEmptyDataFolderFailsNoJob) {
  AddWorker("a-bad");  // the smaller id, and always free again at once
  AddWorker("good");
  for (int i = 0; i < 8; ++i) Create("job-" + std::to_string(i));
  RunWorkers({"a-bad", "good"}, absl::Minutes(2),
             [](const std::string& worker) -> std::vector<Kind> {
               if (worker == "good") return Trains();
               return {Failure(spec::TrainerFailure::kDataUnavailable, "there is no folder mnist")};
             });
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(StateOf("job-" + std::to_string(i)), JobState::kSucceeded) << i;
  }
}

TEST_F(Blame, AWorkerWithABrokenGpuFailsNoJobWhileTheOthersAreBusy) {
  AddWorker("a-bad");
  AddWorker("good");
  for (int i = 0; i < 8; ++i) Create("job-" + std::to_string(i));
  const Fate fate = [](const std::string& worker) -> std::vector<Kind> {
    if (worker == "good") return Trains();
    return {Failure(spec::TrainerFailure::kInfrastructure, "CUDA error 999")};
  };
  RunWorkers({"a-bad", "good"}, absl::Seconds(6), fate);
  EXPECT_EQ(scheduler_->GetWorker(now(), W("a-bad"))->state, WorkerState::kSuspect);
  EXPECT_THAT(scheduler_->GetWorker(now(), W("a-bad"))->state_message, HasSubstr("CUDA error 999"));
  RunWorkers({"a-bad", "good"}, absl::Minutes(2), fate);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(StateOf("job-" + std::to_string(i)), JobState::kSucceeded) << i;
  }
}

TEST_F(Blame, DataThatNobodyHasFailTheJobAfterThreeWorkersSaidSo) {
  for (const char* worker : {"w1", "w2", "w3", "w4"}) AddWorker(worker);
  Create("one");
  int tries = 0;
  RunWorkers({"w1", "w2", "w3", "w4"}, absl::Minutes(1), [&](const std::string&) {
    ++tries;
    return std::vector<Kind>{Failure(spec::TrainerFailure::kDataUnavailable, "no folder mnist")};
  });
  EXPECT_EQ(StateOf("one"), JobState::kFailed);
  EXPECT_EQ(tries, 3);
  EXPECT_EQ(Get("one").record.status.failure_class, FailureClass::kDataUnavailable);
  EXPECT_THAT(Get("one").record.status.message, HasSubstr("3 workers said so"));
}

TEST_F(Blame, AJobThatBreaksEverywhereMakesNoPlaceSuspect) {
  AddWorker("w1");
  CreateJobRequest request = Request("one");
  request.spec.scheduling.max_restarts = 4;
  Create(request);
  RunWorkers({"w1"}, absl::Minutes(2), [](const std::string&) {
    return std::vector<Kind>{Failure(spec::TrainerFailure::kInfrastructure, "out of memory")};
  });
  EXPECT_EQ(StateOf("one"), JobState::kFailed);
  EXPECT_THAT(Get("one").attempts, SizeIs(5));
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kOnline);
}

TEST_F(Blame, ASuspectPlaceIsProbedAndTrustedAgain) {
  AddWorker("w1");
  Create("one");
  Create("two");
  bool mended = false;
  const Fate fate = [&](const std::string&) -> std::vector<Kind> {
    if (mended) return Trains();
    return {Failure(spec::TrainerFailure::kInfrastructure, "driver")};
  };
  RunWorkers({"w1"}, absl::Seconds(10), fate);
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kSuspect);
  mended = true;
  RunWorkers({"w1"}, absl::Minutes(3), fate);
  EXPECT_EQ(StateOf("one"), JobState::kSucceeded);
  EXPECT_EQ(StateOf("two"), JobState::kSucceeded);
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kOnline);
}

TEST_F(Blame, TwoMachinesOfOneIdDoNotEndEachOthersAttempts) {
  AddWorker("host");
  Create("one");
  Sync("host");
  RegisterWorkerRequest clone;
  clone.id = W("host");
  clone.incarnation = "another machine";
  clone.slots = {{0, spec::Device::kCpu, "", 0}};
  EXPECT_EQ(ReasonOf(scheduler_->RegisterWorker(now(), clone).status()), "WORKER_ID_IN_USE");
  EXPECT_TRUE(Get("one").attempts[0].live());
  clone.replaces_incarnation = "1";
  EXPECT_TRUE(scheduler_->RegisterWorker(now(), clone).ok()) << "its own restart is known";
  EXPECT_FALSE(Get("one").attempts[0].live());
}

TEST_F(Blame, LostWorkersAndDrainsCountAgainstNoJob) {
  CreateJobRequest request = Request("one");
  request.spec.scheduling.max_restarts = 1;
  Create(request);
  for (int i = 0; i < 6; ++i) {
    AddWorker("w1", 1, std::to_string(i));  // restarted each time
    Sync("w1", std::to_string(i));
    ASSERT_TRUE(Say("one", Started()).ok()) << i;
  }
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  EXPECT_EQ(Get("one").record.status.failures_in_row, 0);
}

TEST_F(Blame, ANewCheckpointSetsTheCountOfFailuresToZero) {
  AddWorker("w1");
  CreateJobRequest request = Request("one");
  request.spec.scheduling.max_restarts = 1;
  Create(request);
  for (int64_t i = 1; i <= 4; ++i) {
    Sync("w1");
    ASSERT_TRUE(Say("one", Started(), At(10 * i)).ok()) << i;
    ASSERT_TRUE(Upload("one", 10 * i, "d" + std::to_string(i)).ok());
    ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
    EXPECT_EQ(StateOf("one"), JobState::kQueued) << i;
    Pass(absl::Seconds(3));
  }
}

}  // namespace
}  // namespace bsnn::scheduler
