// Deadlines, hangs, and what counts for them.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::SizeIs;

class LimitsOfTime : public SchedulerFixture {
 protected:
  void Run(int32_t deadline_seconds = 0) {
    CreateJobRequest request = Request("one");
    request.spec.scheduling.deadline_seconds = deadline_seconds;
    AddWorker("w1");
    Create(request);
    Sync("w1");
    ASSERT_TRUE(Say("one", Started(), At(1)).ok());
  }
  /// A call of w1 that says so of its attempt.
  void Report(AttemptReport report) {
    report.job = J("one");
    report.epoch = 1;
    ASSERT_TRUE(
        scheduler_
            ->Synchronize(now(), {.worker = W("w1"), .incarnation = "1", .attempts = {report}})
            .ok());
  }
  void Beat(absl::Duration time, const AttemptReport& report) {
    for (absl::Duration passed; passed < time; passed += absl::Seconds(5)) {
      Pass(absl::Seconds(5));
      Report(report);
    }
  }
};

TEST_F(LimitsOfTime, ASuccessDuringAnOutageIsNotExpired) {
  Run(/*deadline_seconds=*/60);
  const EventBatch success = BatchOf("one", {Success("d1")});
  Sleep(absl::Hours(1));  // the coordinator was down; the trainer ended in time
  Start();
  Pass(absl::Seconds(3));
  EXPECT_EQ(StateOf("one"), JobState::kRunning) << "its worker has not spoken yet";
  Report({.phase = Phase::kEnded, .events_pending = 3});
  Pass(absl::Seconds(3));
  EXPECT_EQ(StateOf("one"), JobState::kRunning) << "it has something to say";
  ASSERT_TRUE(Upload("one", 100, "d1").ok());
  ASSERT_TRUE(scheduler_->AcceptEvents(now(), success).ok());
  EXPECT_EQ(StateOf("one"), JobState::kSucceeded);
}

TEST_F(LimitsOfTime, ADeadlineAsksBeforeItKills) {
  Run(/*deadline_seconds=*/60);
  Beat(absl::Seconds(65), {.phase = Phase::kTraining});
  ASSERT_TRUE(Upload("one", 50, "d1").ok()) << "the checkpoint that STOP asked for";
  ASSERT_TRUE(Say("one", spec::Finished{.outcome = spec::Outcome::kStopped, .step = 50}).ok());
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
  EXPECT_THAT(scheduler_->ListCheckpoints(J("one"), std::nullopt, 9)->checkpoints, SizeIs(1));
}

TEST_F(LimitsOfTime, ALongLastUploadIsNoHang) {
  Run();
  for (int64_t left = 100; left > 0; --left) {  // an hour and more
    Beat(absl::Seconds(60),
         {.phase = Phase::kEnded, .events_pending = 1, .upload_bytes_left = left});
    ASSERT_EQ(Get("one").attempts.back().epoch, 1) << left;
  }
  ASSERT_TRUE(Upload("one", 100, "d1").ok());
  ASSERT_TRUE(Say("one", Success("d1")).ok());
  EXPECT_EQ(StateOf("one"), JobState::kSucceeded);
}

TEST_F(LimitsOfTime, AnUploadThatStandsStillIsAHang) {
  Run();
  Beat(options_.hang_limit + absl::Seconds(10),
       {.phase = Phase::kEnded, .events_pending = 1, .upload_bytes_left = 77});
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kHang);
}

TEST_F(LimitsOfTime, WaitingForAStoreWithoutRoomIsNoHang) {
  Run();
  store_->SetRoom(false);
  const EventBatch last = BatchOf("one", {Point("loss", 100, 0.5)});
  for (int i = 0; i < 200; ++i) {  // far beyond any limit
    Beat(absl::Seconds(30), {.phase = Phase::kEnded, .events_pending = 1, .upload_bytes_left = 77});
    ASSERT_EQ(base::ReasonOf(scheduler_->AcceptEvents(now(), last).status()).reason, "STORE_BUSY");
    ASSERT_EQ(Get("one").attempts.back().failure_class, FailureClass::kNone) << i;
  }
}

TEST_F(LimitsOfTime, ATrainerThatLogsAndNeverStepsHangs) {
  Run();
  for (int i = 0; i < 30 && Get("one").attempts.back().live(); ++i) {
    Beat(absl::Seconds(30), {.phase = Phase::kTraining});
    (void)Say("one", spec::LogLine{spec::Severity::kInfo, "still here"}, At(1));
  }
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kHang);
}

TEST_F(LimitsOfTime, APauseAfterAFailureIsNoLongerThanAnyPauseIs) {
  Run();
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
  Sleep(-absl::Hours(24));  // the wall clock was set back; the steady clock is another one
  Start();
  Pass(absl::Minutes(5) + absl::Seconds(1));
  Sync("w1");
  EXPECT_EQ(Get("one").attempts.back().epoch, 2);
}

}  // namespace
}  // namespace bsnn::scheduler
