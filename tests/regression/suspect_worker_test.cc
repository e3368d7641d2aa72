// A worker whose trainers end at once takes no more jobs than it needs to be found out.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::HasSubstr;

class SuspectWorker : public SchedulerFixture {
 protected:
  std::vector<std::string> CreateJobs(int count) {
    std::vector<std::string> jobs;
    for (int i = 0; i < count; ++i) {
      CreateJobRequest request = Request("j" + std::to_string(i));
      request.spec.scheduling.max_restarts = 1;
      Create(request);
      jobs.push_back(request.wanted_id);
    }
    return jobs;
  }
  /// Jobs that start on `worker` now.
  std::vector<std::string> StartingOn(const std::string& worker,
                                      const std::vector<std::string>& jobs) {
    std::vector<std::string> starting;
    for (const std::string& job : jobs) {
      const JobView view = Get(job);
      if (view.record.status.state == JobState::kStarting &&
          view.attempts.back().worker.value() == worker) {
        starting.push_back(job);
      }
    }
    return starting;
  }
  void Fail(const std::string& job) {
    ASSERT_TRUE(Say(job, Failure(spec::TrainerFailure::kInfrastructure, "no driver")).ok());
  }
  void Succeed(const std::string& job) {
    ASSERT_TRUE(Say(job, Started(), At(1)).ok());
    ASSERT_TRUE(Upload(job, 100, "d" + job).ok());
    ASSERT_TRUE(Say(job, Success("d" + job)).ok());
  }
  WorkerView View(const std::string& worker) { return *scheduler_->GetWorker(now(), W(worker)); }
};

TEST_F(SuspectWorker, FailsNoJobThatAnotherWorkerCanRun) {
  AddWorker("bad", 4);
  AddWorker("good", 1);
  const auto jobs = CreateJobs(8);
  int attempts_on_bad = 0;
  for (int second = 0; second < 300; ++second) {
    Sync("bad");
    Sync("good");
    for (const std::string& job : StartingOn("bad", jobs)) {
      ++attempts_on_bad;
      Fail(job);
    }
    // The good one is busy most of the time.
    if (second % 5 == 0) {
      for (const std::string& job : StartingOn("good", jobs)) Succeed(job);
    }
    Pass(absl::Seconds(1));
  }
  for (const std::string& job : jobs) EXPECT_EQ(StateOf(job), JobState::kSucceeded) << job;
  EXPECT_LE(attempts_on_bad, 6) << "four at once, then a probe after 30 s and one after 60 s more";
}

TEST_F(SuspectWorker, IsListedWithTheReason) {
  AddWorker("bad", 3);
  const auto jobs = CreateJobs(3);
  Sync("bad");
  EXPECT_EQ(View("bad").state, WorkerState::kOnline);
  for (const std::string& job : jobs) Fail(job);
  EXPECT_EQ(View("bad").state, WorkerState::kSuspect);
  EXPECT_THAT(View("bad").state_message, HasSubstr("no driver"));
  EXPECT_EQ(scheduler_->TakeSnapshot(now()).workers[static_cast<size_t>(WorkerState::kSuspect)], 1);
  Create("later");
  EXPECT_EQ(Get("later").pending, PendingReason::kNoWorkerOnline) << Get("later").state_message;
}

TEST_F(SuspectWorker, GetsOneProbeAtATimeUntilOneTakesAStep) {
  AddWorker("bad", 3);
  auto jobs = CreateJobs(3);
  Sync("bad");
  for (const std::string& job : jobs) Fail(job);
  jobs = {"n0", "n1", "n2"};
  for (const std::string& job : jobs) {
    CreateJobRequest request = Request(job);
    request.spec.scheduling.priority = 1;
    Create(request);
  }
  EXPECT_EQ(StartingOn("bad", jobs).size(), 0U);
  for (int i = 0; i < 32; ++i) {
    Pass(absl::Seconds(1));
    Sync("bad");
  }
  EXPECT_EQ(StartingOn("bad", jobs), std::vector<std::string>{"n0"});
  ASSERT_TRUE(Say("n0", Started(), At(1)).ok());
  Pass(absl::Seconds(1));
  EXPECT_EQ(StartingOn("bad", jobs), (std::vector<std::string>{"n1", "n2"}));
  EXPECT_EQ(View("bad").state, WorkerState::kOnline);
}

}  // namespace
}  // namespace bsnn::scheduler
