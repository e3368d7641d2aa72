// The commit rule: nothing is told that a crash could take back.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::SizeIs;

class Durability : public SchedulerFixture {
 protected:
  void Run() {
    AddWorker("w1");
    Create("one");
    Sync("w1");
    ASSERT_TRUE(Say("one", Started()).ok());
  }
};

TEST_F(Durability, EventsAreAcknowledgedWhenTheyAreOnDisk) {
  Run();
  store_->Hold();
  const EventBatch batch = BatchOf("one", {Point("loss", 1, 0.5)});
  const auto first = scheduler_->AcceptEvents(now(), batch);
  const auto repeat = scheduler_->AcceptEvents(now(), batch);
  EXPECT_GT(first->ticket, store_->Durable());
  EXPECT_GE(repeat->ticket, first->ticket) << "a repeat rests on the first";
  store_->Crash();
  Start();
  EXPECT_EQ(Get("one").record.status.metric_points, 0);
  EXPECT_EQ(scheduler_->AcceptEvents(now(), batch)->value, 2) << "they are sent and taken again";
}

TEST_F(Durability, TheLossOfAnAttemptIsToldWhenItIsOnDisk) {
  Run();
  const EventBatch late = BatchOf("one", {At(5)});
  store_->Hold();
  Pass(options_.lost_after + absl::Seconds(1));
  EXPECT_EQ(ReasonOf(scheduler_->AcceptEvents(now(), late).status()), "ATTEMPT_FENCED");
  EXPECT_GT(scheduler_->LastTicket(), store_->Durable()) << "what that error rests on";
  const auto reply = scheduler_->Synchronize(
      now(),
      {.worker = W("w1"), .incarnation = "1", .attempts = {{J("one"), 1, Phase::kTraining}}});
  ASSERT_THAT(reply->value.orders, SizeIs(1));
  EXPECT_EQ(reply->value.orders[0].epoch, 2) << "the worker is back, and attempt 1 is not named";
  EXPECT_GT(reply->ticket, store_->Durable()) << "or its trainer would be killed for nothing";
  store_->Crash();
  Start();
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  EXPECT_TRUE(scheduler_->AcceptEvents(now(), late).ok());
}

TEST_F(Durability, AnAttemptOfADeletedJobIsForgottenWhenTheDeletionIsOnDisk) {
  Run();
  store_->Hold();
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kUserError, "x")).ok());
  const auto deleted = scheduler_->DeleteJob(now(), J("one"), "");
  const auto reply = scheduler_->Synchronize(
      now(), {.worker = W("w1"), .incarnation = "1", .attempts = {{J("one"), 1, Phase::kEnded}}});
  EXPECT_GE(reply->ticket, deleted->ticket);
}

TEST_F(Durability, AnEpochThatNobodyWasToldIsGivenAgain) {
  Create("one");
  store_->Hold();
  AddWorker("w1");
  ASSERT_EQ(Get("one").attempts.back().epoch, 1);
  store_->Crash();
  Start();
  AddWorker("w2");
  EXPECT_EQ(Get("one").attempts.back().epoch, 1);
  EXPECT_EQ(Get("one").attempts.back().worker, W("w2"));
}

TEST_F(Durability, AnEpochThatWasToldIsNot) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  store_->Hold();
  Pass(options_.lost_after + absl::Seconds(1));
  store_->Release();
  store_->Crash();
  Start();
  Pass(absl::Seconds(2));
  AddWorker("w2");
  EXPECT_EQ(Get("one").attempts.back().epoch, 2);
}

TEST_F(Durability, ACheckpointIsPublishedWhenItsRecordIsOnDisk) {
  Run();
  store_->Hold();
  const auto first = Upload("one", 10, "d1");
  EXPECT_GT(first->ticket, store_->Durable());
  EXPECT_GE(Upload("one", 10, "d1")->ticket, first->ticket);
  const auto ended = Say("one", Success("d1"));
  EXPECT_GT(ended->ticket, first->ticket);
  store_->Release(1);
  store_->Crash();
  Start();
  EXPECT_EQ(StateOf("one"), JobState::kRunning) << "the checkpoint is there, its end is not";
  EXPECT_TRUE(scheduler_->GetCheckpoint(J("one"), Scheduler::CheckpointIdOf(1, 10)).ok());
}

}  // namespace
}  // namespace bsnn::scheduler
