// A coordinator that starts again on what its store has; what was not durable never happened.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::SizeIs;
using Restart = SchedulerFixture;

TEST_F(Restart, KeepsLiveAttemptsAndTheirWorkersReportIn) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started(), At(10), Point("loss", 10, 0.5)).ok());
  const EventBatch next = BatchOf("one", {At(20)});
  Start();
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  Pass(options_.lease - absl::Seconds(1));
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  EXPECT_THAT(Sync("w1"), SizeIs(1)) << "the worker need not register again";
  ASSERT_TRUE(scheduler_->AcceptEvents(now(), next).ok());
  EXPECT_EQ(Get("one").record.status.progress.step, 20);
  EXPECT_EQ(telemetry_->TakeSample(now().steady, 100).jobs.at(0).series.at(0).value, 0.5)
      << "series are there at once";
}

TEST_F(Restart, LosesWorkersThatDoNotComeBack) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  Start();
  Pass(options_.lost_after + absl::Seconds(1));
  EXPECT_EQ(StateOf("one"), JobState::kQueued);
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kWorkerLost);
}

TEST_F(Restart, PlacesNothingOnAWorkerThatHasNotReportedIn) {
  AddWorker("w1");
  Start();
  Create("one");
  EXPECT_EQ(StateOf("one"), JobState::kQueued);
  EXPECT_THAT(Sync("w1"), SizeIs(1));
}

TEST_F(Restart, KeepsTheBackoff) {
  CreateJobRequest request = Request("one");
  request.spec.scheduling.restart_backoff_seconds = 100;
  AddWorker("w1");
  Create(request);
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
  Pass(absl::Seconds(40));
  Start();
  for (int i = 0; i < 5; ++i) {
    Pass(absl::Seconds(10));
    Sync("w1");
  }
  EXPECT_EQ(StateOf("one"), JobState::kQueued);
  Pass(absl::Seconds(11));
  Sync("w1");
  EXPECT_EQ(StateOf("one"), JobState::kStarting);
}

TEST_F(Restart, WhatWasNotDurableNeverHappened) {
  Create("one");
  store_->Hold();
  AddWorker("w1");
  EXPECT_EQ(StateOf("one"), JobState::kStarting);
  const auto reply = scheduler_->Synchronize(now(), {W("w1"), "1", {}, false});
  ASSERT_THAT(reply->value.orders, SizeIs(1));
  EXPECT_GT(reply->ticket, store_->Durable()) << "the order must not go out yet";
  store_->Crash();
  Start();
  EXPECT_EQ(StateOf("one"), JobState::kQueued);
  EXPECT_THAT(Get("one").attempts, SizeIs(0));
}

TEST_F(Restart, AQuietCallWaitsForNothing) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  store_->Hold();
  Create("two");
  const auto reply =
      scheduler_->Synchronize(now(), {W("w1"), "1", {{J("one"), 1, Phase::kTraining}}, false});
  EXPECT_LE(reply->ticket, store_->Durable());
}

}  // namespace
}  // namespace bsnn::scheduler
