// A deadline that passes while the coordinator or the network is away does not destroy a success
// that was reached in time.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::SizeIs;

/// A job with a deadline of 60 s, which has trained for 50.
class DeadlineInOutage : public SchedulerFixture {
 protected:
  void SetUp() override {
    AddWorker("w1");
    CreateJobRequest request = Request("one");
    request.spec.scheduling.deadline_seconds = 60;
    Create(request);
    Sync("w1");
    ASSERT_TRUE(Say("one", Started(), At(1)).ok());
    PassWithWorker(50, Phase::kTraining);
  }
  std::vector<AttemptOrder> Call(Phase phase, int64_t pending = 0, int64_t bytes_left = 0) {
    auto reply =
        scheduler_->Synchronize(now(), {.worker = W("w1"),
                                        .incarnation = "1",
                                        .attempts = {{J("one"), 1, phase, pending, bytes_left}}});
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply->value.orders;
  }
  void PassWithWorker(int seconds, Phase phase, int64_t pending = 0) {
    for (int i = 0; i < seconds; ++i) {
      Pass(absl::Seconds(1));
      Call(phase, pending, 1'000'000 - ++calls_);
    }
  }
  void ExpectSuccess() {
    ASSERT_TRUE(Upload("one", 100, "d").ok());
    ASSERT_TRUE(Say("one", Success("d")).ok());
    EXPECT_EQ(StateOf("one"), JobState::kSucceeded);
  }

 private:
  int calls_ = 0;
};

TEST_F(DeadlineInOutage, ASuccessDuringARestartCounts) {
  RestartAfter(/*replay=*/absl::Hours(1));
  Pass(absl::Seconds(2));
  EXPECT_EQ(StateOf("one"), JobState::kRunning) << "its worker has not said a word yet";
  Call(Phase::kEnded, 1);
  ExpectSuccess();
}

TEST_F(DeadlineInOutage, ASuccessDuringAPauseCounts) {
  Sleep(absl::Hours(1));
  Pass(absl::Seconds(2));
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  Call(Phase::kEnded, 1);
  ExpectSuccess();
}

TEST_F(DeadlineInOutage, ASuccessWhileTheWorkerWasSilentCounts) {
  Pass(absl::Minutes(2));
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  Call(Phase::kEnded, 1);
  ExpectSuccess();
}

TEST_F(DeadlineInOutage, AnUploadMayCrossTheDeadline) {
  PassWithWorker(5, Phase::kEnded, 1);
  PassWithWorker(120, Phase::kEnded, 1);
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  ExpectSuccess();
}

TEST_F(DeadlineInOutage, AnUploadWithNoEventWaitingMayCrossItToo) {
  PassWithWorker(120, Phase::kEnded, 0);
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  ExpectSuccess();
}

TEST_F(DeadlineInOutage, AnUploadMayBeginBetweenTheOrderToStopAndItsArrival) {
  PassWithWorker(11, Phase::kTraining);
  ASSERT_THAT(Call(Phase::kTraining), SizeIs(1));
  EXPECT_EQ(Call(Phase::kTraining)[0].action, Action::kStop);
  PassWithWorker(120, Phase::kEnded, 1);
  ExpectSuccess();
}

TEST_F(DeadlineInOutage, AStopThatWasNotHeardIsAskedAgainWithItsGrace) {
  PassWithWorker(11, Phase::kTraining);
  ASSERT_EQ(Call(Phase::kTraining)[0].action, Action::kStop);
  Pass(absl::Minutes(2));  // that reply was lost, and all after it
  ASSERT_EQ(StateOf("one"), JobState::kRunning);
  EXPECT_EQ(Call(Phase::kTraining)[0].action, Action::kStop);
  PassWithWorker(20, Phase::kStopping);
  ASSERT_TRUE(Upload("one", 70, "d").ok()) << "the checkpoint that it was asked for";
  PassWithWorker(30, Phase::kStopping);
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
}

TEST_F(DeadlineInOutage, ATrainerThatTrainsOnIsAskedToStopHoweverMuchItReports) {
  PassWithWorker(11, Phase::kTraining, /*pending=*/7);
  EXPECT_EQ(Call(Phase::kTraining, 7)[0].action, Action::kStop);
  PassWithWorker(60, Phase::kStopping, 7);
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
}

TEST_F(DeadlineInOutage, AfterARestartItsWorkerIsAskedOnceItHasCalled) {
  RestartAfter(/*replay=*/absl::Hours(1));
  const auto orders = Call(Phase::kTraining);
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].action, Action::kStop);
  ASSERT_TRUE(Say("one", spec::Finished{.outcome = spec::Outcome::kStopped}).ok());
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
}

TEST_F(DeadlineInOutage, ALostWorkersJobExpires) {
  RestartAfter(/*replay=*/absl::Hours(1));
  Pass(absl::Minutes(4));
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
}

TEST_F(DeadlineInOutage, AWallClockThatWasSetBackDoesNotMakeADeadlineLonger) {
  RestartAfter(/*replay=*/absl::Seconds(1), /*wall_jump=*/-absl::Hours(24));
  PassWithWorker(61, Phase::kTraining);
  EXPECT_EQ(Call(Phase::kTraining)[0].action, Action::kStop);
}

}  // namespace
}  // namespace bsnn::scheduler
