// Cancelling and deadlines in every state.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class Cancel : public SchedulerFixture {
 protected:
  /// A job whose trainer has reported.
  void Run(const CreateJobRequest& request) {
    AddWorker("w1");
    Create(request);
    Sync("w1");
    ASSERT_TRUE(Say("one", Started()).ok());
  }
  void CancelOne() { ASSERT_TRUE(scheduler_->CancelJob(now(), J("one"), "").ok()); }
  void PassWithWorker(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      Pass(absl::Seconds(1));
      Sync("w1");
    }
  }
};

TEST_F(Cancel, OfAJobThatWaitsForItsBackoffIsImmediateAndForGood) {
  Run(Request("one"));
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
  CancelOne();
  EXPECT_EQ(StateOf("one"), JobState::kCancelled);
  PassWithWorker(10);
  EXPECT_EQ(StateOf("one"), JobState::kCancelled);
  EXPECT_THAT(Get("one").attempts, SizeIs(1));
}

TEST_F(Cancel, OfAQueuedJobTakesItOutOfTheQueue) {
  Create("one");
  Create("two");
  CancelOne();
  EXPECT_EQ(Get("two").queue_position, 1);
  AddWorker("w1");
  EXPECT_EQ(StateOf("two"), JobState::kStarting);
}

TEST_F(Cancel, IsOverWhenTheWorkerIsLost) {
  Run(Request("one"));
  CancelOne();
  Pass(options_.lost_after + absl::Seconds(1));
  EXPECT_EQ(StateOf("one"), JobState::kCancelled) << "not started again";
}

TEST_F(Cancel, ComesTooLateForAJobThatSucceeds) {
  Run(Request("one"));
  ASSERT_TRUE(Upload("one", 100, "d1").ok());
  CancelOne();
  ASSERT_TRUE(Say("one", Success("d1")).ok());
  EXPECT_EQ(StateOf("one"), JobState::kSucceeded);
  const std::string etag = Get("one").etag;
  CancelOne();
  EXPECT_EQ(Get("one").etag, etag) << "what has ended stays as it is";
}

TEST_F(Cancel, MakesNoFailureOfATrainerThatDiesOfIt) {
  Run(Request("one"));
  CancelOne();
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "signal 9")).ok());
  EXPECT_EQ(StateOf("one"), JobState::kCancelled);
  EXPECT_EQ(Get("one").record.status.failure_class, FailureClass::kNone);
  EXPECT_EQ(Get("one").attempts.back().failure_class, FailureClass::kNone);
}

TEST_F(Cancel, StillTakesEventsAndCheckpointsOfTheAttempt) {
  Run(Request("one"));
  CancelOne();
  EXPECT_TRUE(Say("one", Point("loss", 3, 0.5)).ok());
  EXPECT_TRUE(Upload("one", 3, "d3").ok());
  EXPECT_EQ(StateOf("one"), JobState::kCancelling);
}

TEST_F(Cancel, GoesOnAfterARestartOfTheCoordinator) {
  Run(Request("one"));
  CancelOne();
  Start();
  EXPECT_EQ(StateOf("one"), JobState::kCancelling);
  const auto orders = Sync("w1");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].action, Action::kStop);
  PassWithWorker(41);
  EXPECT_EQ(StateOf("one"), JobState::kCancelled) << "the time for it begins anew, once";
}

TEST_F(Cancel, TwiceIsTheSame) {
  Run(Request("one"));
  CancelOne();
  const std::string etag = Get("one").etag;
  PassWithWorker(20);
  CancelOne();
  EXPECT_EQ(Get("one").etag, etag);
  PassWithWorker(21);
  EXPECT_EQ(StateOf("one"), JobState::kCancelled) << "the grace counts from the first";
}

TEST_F(Cancel, WinsOverTheDeadline) {
  CreateJobRequest request = Request("one");
  request.spec.scheduling.deadline_seconds = 10;
  Run(request);
  CancelOne();
  PassWithWorker(15);
  EXPECT_EQ(StateOf("one"), JobState::kCancelling);
  PassWithWorker(30);
  EXPECT_EQ(StateOf("one"), JobState::kCancelled);
}

using Deadline = Cancel;

TEST_F(Deadline, AlsoEndsAJobThatIsBackInTheQueue) {
  CreateJobRequest request = Request("one");
  request.spec.scheduling.deadline_seconds = 60;
  request.spec.scheduling.restart_backoff_seconds = 100;
  Run(request);
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
  PassWithWorker(61);
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
  PassWithWorker(60);
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
}

TEST_F(Deadline, CountsOnOverARestartOfTheCoordinator) {
  CreateJobRequest request = Request("one");
  request.spec.scheduling.deadline_seconds = 60;
  Run(request);
  PassWithWorker(30);
  Start();
  PassWithWorker(29);
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  PassWithWorker(2);
  ASSERT_THAT(Sync("w1"), SizeIs(1));
  EXPECT_EQ(Sync("w1")[0].action, Action::kStop);
  PassWithWorker(60);
  EXPECT_EQ(StateOf("one"), JobState::kExpired) << "it did not stop in time";
  EXPECT_THAT(Sync("w1"), SizeIs(0)) << "its worker is to end it";
  EXPECT_EQ(ReasonOf(Say("one", At(50)).status()), "ATTEMPT_FENCED");
}

}  // namespace
}  // namespace bsnn::scheduler
