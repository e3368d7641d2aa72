// Silence is not held against an attempt, and a checkpoint that was there before is no progress.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::SizeIs;

class SilentWorker : public SchedulerFixture {
 protected:
  SilentWorker() {
    options_.hang_limit = absl::Seconds(60);
    Start();
    AddWorker("w1");
    CreateJobRequest request = Request("one");
    request.spec.scheduling.max_restarts = 2;
    Create(request);
    Sync("w1");
    EXPECT_TRUE(Say("one", Started(), At(1)).ok());
  }
  void Fail() {
    ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "signal 9")).ok());
  }
  void PassWithWorker(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      Pass(absl::Seconds(1));
      Sync("w1");
    }
  }
};

TEST_F(SilentWorker, IsHeardBeforeItsAttemptIsTakenForAHang) {
  PassWithWorker(10);
  Pass(absl::Seconds(150));  // longer than the hang limit; the trainer trains on
  PassWithWorker(40);        // its events come late: they are many
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  PassWithWorker(20);
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kHang) << "no step in 60 s";
}

TEST_F(SilentWorker, KeepsATrainingThatHasEndedThoughThereIsAPlaceElsewhere) {
  AddWorker("w2");
  ASSERT_TRUE(scheduler_
                  ->Synchronize(now(), {.worker = W("w1"),
                                        .incarnation = "1",
                                        .attempts = {{J("one"), 1, Phase::kEnded, 1, 1000}}})
                  .ok());
  for (int i = 0; i < 60; ++i) {
    Pass(absl::Seconds(1));
    Sync("w2");
  }
  ASSERT_EQ(Get("one").record.status.newest_epoch, 1);
  Sync("w1");
  ASSERT_TRUE(Upload("one", 100, "d").ok());
  ASSERT_TRUE(Say("one", Success("d")).ok());
  EXPECT_EQ(StateOf("one"), JobState::kSucceeded);
}

TEST_F(SilentWorker, MakesNoProgressByACheckpointThatWasThereBefore) {
  ASSERT_TRUE(Upload("one", 5, "d5").ok());
  for (int i = 0; i < 2; ++i) {
    Fail();
    PassWithWorker(10);
    ASSERT_EQ(StateOf("one"), JobState::kStarting);
    ASSERT_TRUE(Upload("one", 5, "e" + std::to_string(i)).ok());
  }
  Fail();
  EXPECT_EQ(StateOf("one"), JobState::kFailed);
}

}  // namespace
}  // namespace bsnn::scheduler
