// Placement, leases, fencing, events, restarts, cancelling.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using Attempts = SchedulerFixture;

TEST_F(Attempts, RunAJobToItsSuccess) {
  AddWorker("w1");
  Create("one");
  const auto orders = Sync("w1");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].action, Action::kRun);
  EXPECT_EQ(orders[0].epoch, 1);
  EXPECT_EQ(StateOf("one"), JobState::kStarting);
  ASSERT_TRUE(Say("one", Started(), At(20), Point("loss", 20, 0.5)).ok());
  EXPECT_EQ(StateOf("one"), JobState::kRunning);
  EXPECT_EQ(Get("one").record.status.progress.step, 20);
  ASSERT_TRUE(Upload("one", 100, "d1").ok());
  const auto ended = Say("one", Success("d1"));
  ASSERT_TRUE(ended.ok()) << ended.status();
  const JobView job = Get("one");
  EXPECT_EQ(job.record.status.state, JobState::kSucceeded);
  EXPECT_EQ(job.record.status.result->checkpoint.value(), "a1-step-00000100");
  EXPECT_FALSE(job.attempts[0].live());
  EXPECT_THAT(Sync("w1"), SizeIs(0)) << "what has ended is not named: it is to be forgotten";
}

TEST_F(Attempts, TakeACudaSlotWhereTheyMay) {
  AddWorker("cpu-worker");
  AddWorker("gpu-worker", 1, "1", spec::Device::kCuda);
  Create("any");
  EXPECT_EQ(Get("any").attempts[0].worker, W("gpu-worker"));
  CreateJobRequest cuda = Request("cuda");
  cuda.spec.resources.device = spec::Device::kCuda;
  Create(cuda);
  EXPECT_EQ(StateOf("cuda"), JobState::kQueued) << "the only CUDA slot is used";
  EXPECT_THAT(Get("cuda").state_message, HasSubstr("cuda slot"));
  Create("second");
  EXPECT_EQ(Get("second").attempts[0].worker, W("cpu-worker")) << "it goes past a job that cannot";
}

TEST_F(Attempts, OfALostWorkerAreStartedAgainAtOnce) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  ASSERT_TRUE(Upload("one", 40, "d1").ok());
  Pass(options_.lost_after + absl::Seconds(1));
  EXPECT_EQ(StateOf("one"), JobState::kQueued);
  EXPECT_EQ(Get("one").record.status.restart_count, 1);
  EXPECT_EQ(Get("one").record.status.failures_in_row, 0) << "it is no failure of the job";
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kWorkerLost);
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kLost);
  AddWorker("w2");
  const auto orders = Sync("w2");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].epoch, 2);
  ASSERT_THAT(orders[0].checkpoints, SizeIs(1));
  EXPECT_EQ(orders[0].checkpoints[0].value(), "a1-step-00000040");
}

TEST_F(Attempts, OfAnOldEpochAreFenced) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  const EventBatch late = BatchOf("one", {At(50)});
  const UploadSource source{W("w1"), J("one"), 1};
  EXPECT_TRUE(scheduler_->CheckUpload(now(), source).ok());
  Pass(options_.lease + absl::Seconds(1));
  AddWorker("w2");
  Pass(absl::Seconds(2));
  ASSERT_EQ(Get("one").attempts.back().epoch, 2);
  EXPECT_EQ(ReasonOf(scheduler_->AcceptEvents(now(), late).status()), "ATTEMPT_FENCED");
  EXPECT_EQ(ReasonOf(scheduler_->CheckUpload(now(), source)), "ATTEMPT_FENCED");
  EXPECT_THAT(Sync("w1"), SizeIs(0)) << "it came back: its attempt is to be killed and forgotten";
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kOnline);
}

TEST_F(Attempts, OfARestartedWorkerAreLostAtOnce) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  AddWorker("w1", 1, "2");
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kWorkerLost);
  EXPECT_EQ(Get("one").attempts[1].worker, W("w1"));
  EXPECT_EQ(
      ReasonOf(scheduler_->Synchronize(now(), {.worker = W("w1"), .incarnation = "1"}).status()),
      "WORKER_UNKNOWN");
}

TEST_F(Attempts, AreLostOnlyUpToTheLimitOfRestarts) {
  CreateJobRequest request = Request("one");
  request.spec.scheduling.max_restarts = 2;
  request.spec.scheduling.restart_backoff_seconds = 1;
  AddWorker("w1");
  Create(request);
  const double waits[] = {1, 2};
  for (const double wait : waits) {
    ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "signal 9")).ok());
    EXPECT_EQ(StateOf("one"), JobState::kQueued);
    Pass(absl::Seconds(wait) - absl::Milliseconds(1));
    EXPECT_EQ(StateOf("one"), JobState::kQueued);
    Pass(absl::Milliseconds(2));
    Sync("w1");
    ASSERT_EQ(StateOf("one"), JobState::kStarting);
  }
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "signal 9")).ok());
  EXPECT_EQ(StateOf("one"), JobState::kFailed);
  EXPECT_EQ(Get("one").record.status.failure_class, FailureClass::kInfrastructure);
  EXPECT_THAT(Get("one").record.status.message, HasSubstr("max_restarts"));
}

TEST_F(Attempts, WithAUserErrorAreNotStartedAgain) {
  AddWorker("w1");
  Create("one");
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kUserError, "no such data set")).ok());
  EXPECT_EQ(StateOf("one"), JobState::kFailed);
  EXPECT_EQ(Get("one").record.status.message, "no such data set");
}

TEST_F(Attempts, ThatFailedGoToAnotherWorkerWhereThereIsOne) {
  AddWorker("w1");
  AddWorker("w2");
  Create("one");
  ASSERT_EQ(Get("one").attempts.back().worker, W("w1"));
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "disk")).ok());
  Pass(absl::Seconds(2));
  EXPECT_EQ(Get("one").attempts.back().worker, W("w2"));
}

TEST_F(Attempts, EventsAreTakenOnceAndInOrder) {
  AddWorker("w1");
  Create("one");
  const EventBatch first = BatchOf("one", {Started(), Point("loss", 1, 0.5)});
  ASSERT_EQ(scheduler_->AcceptEvents(now(), first)->value, 2);
  EXPECT_EQ(scheduler_->AcceptEvents(now(), first)->value, 2) << "a repeat";
  EXPECT_EQ(Get("one").record.status.metric_points, 1);
  EventBatch gap = BatchOf("one", {At(1), At(2)});
  gap.events.erase(gap.events.begin());
  const auto refused = scheduler_->AcceptEvents(now(), gap);
  EXPECT_EQ(ReasonOf(refused.status()), "EVENT_GAP");
  EXPECT_EQ(base::ReasonOf(refused.status()).metadata.at("acknowledged_sequence"), "2");
  EventBatch overlap = first;
  overlap.events.push_back({3, now().wall, At(9)});
  EXPECT_EQ(scheduler_->AcceptEvents(now(), overlap)->value, 3);
  EventBatch broken = BatchOf("one", {At(1), At(2)});
  broken.events[1].sequence += 5;
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler_->AcceptEvents(now(), broken).status()));
  EventBatch after = BatchOf("one", {Success("d"), At(2)});
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler_->AcceptEvents(now(), after).status()));
}

TEST_F(Attempts, ASuccessNeedsItsCheckpointAndIsRecordedOnce) {
  AddWorker("w1");
  Create("one");
  const EventBatch end = BatchOf("one", {Started(), Success("d1")});
  EXPECT_EQ(ReasonOf(scheduler_->AcceptEvents(now(), end).status()), "CHECKPOINT_MISSING");
  EXPECT_EQ(StateOf("one"), JobState::kStarting) << "nothing of the batch was taken";
  ASSERT_TRUE(Upload("one", 100, "d1").ok());
  ASSERT_EQ(scheduler_->AcceptEvents(now(), end)->value, 2);
  const std::string etag = Get("one").etag;
  EXPECT_EQ(scheduler_->AcceptEvents(now(), end)->value, 2) << "the reply had been lost";
  EXPECT_EQ(Get("one").etag, etag);
}

TEST_F(Attempts, AreStoppedThenEndedByTheirReport) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  ASSERT_TRUE(scheduler_->CancelJob(now(), J("one"), "").ok());
  EXPECT_EQ(StateOf("one"), JobState::kCancelling);
  const auto orders = Sync("w1");
  ASSERT_THAT(orders, SizeIs(1));
  EXPECT_EQ(orders[0].action, Action::kStop);
  EXPECT_EQ(orders[0].grace, absl::Seconds(30));
  ASSERT_TRUE(Say("one", spec::Finished{.outcome = spec::Outcome::kStopped, .step = 7}).ok());
  EXPECT_EQ(StateOf("one"), JobState::kCancelled);
}

TEST_F(Attempts, AreEndedWithoutTheirWorkerAfterTheGrace) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  scheduler_->CancelJob(now(), J("one"), "").IgnoreError();
  for (int i = 0; i < 39; ++i) {
    Pass(absl::Seconds(1));
    Sync("w1");
    ASSERT_EQ(StateOf("one"), JobState::kCancelling);
  }
  Pass(absl::Seconds(2));
  EXPECT_EQ(StateOf("one"), JobState::kCancelled);
}

TEST_F(Attempts, ThatTheWorkerNeverStartedAreCancelledAtOnce) {
  AddWorker("w1");
  Create("one");
  scheduler_->CancelJob(now(), J("one"), "").IgnoreError();
  EXPECT_THAT(Sync("w1"), SizeIs(0));
  EXPECT_EQ(StateOf("one"), JobState::kCancelled);
}

TEST_F(Attempts, ThatDoNotStepAreHangs) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started(), At(1)).ok());
  for (int i = 0; i < 599; ++i) {
    Pass(absl::Seconds(1));
    Sync("w1");
  }
  ASSERT_EQ(StateOf("one"), JobState::kRunning);
  ASSERT_TRUE(Say("one", At(2)).ok());
  for (int i = 0; i < 590; ++i) {
    Pass(absl::Seconds(1));
    Sync("w1");
  }
  EXPECT_EQ(StateOf("one"), JobState::kRunning) << "a step begins the limit anew";
}

TEST_F(Attempts, ThatDoNotStepForTooLongAreStartedAgain) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started(), At(1)).ok());
  for (int i = 0; i < 602 && StateOf("one") == JobState::kRunning; ++i) {
    Pass(absl::Seconds(1));
    Sync("w1");
  }
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kHang);
  EXPECT_EQ(Get("one").record.status.restart_count, 1);
}

TEST_F(Attempts, ThatNeverReportAreHangsToo) {
  AddWorker("w1");
  Create("one");
  for (absl::Duration t; t <= options_.start_limit && StateOf("one") == JobState::kStarting;
       t += absl::Seconds(10)) {
    Pass(absl::Seconds(10));
    Sync("w1");
  }
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kHang);
}

TEST_F(Attempts, OfAJobPastItsDeadlineAreAskedToStop) {
  CreateJobRequest request = Request("one");
  request.spec.scheduling.deadline_seconds = 60;
  Create(request);
  Pass(absl::Hours(1));
  EXPECT_EQ(StateOf("one"), JobState::kQueued) << "it counts from the first start";
  AddWorker("w1");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  for (int i = 0; i < 6; ++i) {
    Pass(absl::Seconds(10));
    Sync("w1");
  }
  EXPECT_EQ(StateOf("one"), JobState::kRunning) << "it may write a checkpoint first";
  ASSERT_THAT(Sync("w1"), SizeIs(1));
  EXPECT_EQ(Sync("w1")[0].action, Action::kStop);
  ASSERT_TRUE(Say("one", spec::Finished{.outcome = spec::Outcome::kStopped}).ok());
  EXPECT_EQ(StateOf("one"), JobState::kExpired);
  EXPECT_EQ(Get("one").record.status.failure_class, FailureClass::kDeadline);
}

TEST_F(Attempts, OfADrainingWorkerGoElsewhere) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  Sync("w1", "1", /*draining=*/true);
  AddWorker("w2");
  ASSERT_TRUE(Say("one", Started(), spec::Finished{.outcome = spec::Outcome::kStopped}).ok());
  Pass(absl::Seconds(2));
  EXPECT_EQ(Get("one").attempts.back().worker, W("w2"));
  EXPECT_EQ(Get("one").record.status.restart_count, 0) << "it is no failure";
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kDraining);
}

TEST_F(Attempts, AreKeptWhenTheCoordinatorItselfStoodStill) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  Sleep(absl::Hours(3));
  Pass(absl::Seconds(1));
  EXPECT_EQ(StateOf("one"), JobState::kStarting);
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kOnline);
  Pass(options_.lost_after);
  EXPECT_EQ(StateOf("one"), JobState::kQueued) << "but not for ever";
}

TEST_F(Attempts, WorkersAreChecked) {
  RegisterWorkerRequest request;
  request.id = W("w1");
  request.incarnation = "1";
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler_->RegisterWorker(now(), request).status()));
  request.slots = {{0, spec::Device::kAny, "", 0}, {0, spec::Device::kCpu, "", 0}};
  const auto refused = scheduler_->RegisterWorker(now(), request);
  EXPECT_THAT(base::FaultsOf(refused.status()), SizeIs(2));
}

}  // namespace
}  // namespace bsnn::scheduler
