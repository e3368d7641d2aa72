// Creating, listing, cancelling and deleting jobs.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using Jobs = SchedulerFixture;

TEST_F(Jobs, AreQueuedInTheOrderOfPriorityThenCreation) {
  Create("first");
  Create("second");
  CreateJobRequest urgent = Request("urgent");
  urgent.spec.scheduling.priority = 3;
  Create(urgent);
  EXPECT_EQ(Get("urgent").queue_position, 1);
  EXPECT_EQ(Get("first").queue_position, 2);
  EXPECT_EQ(Get("second").queue_position, 3);
  EXPECT_THAT(Get("first").state_message, HasSubstr("none with a slot is online"));
  AddWorker("w1");
  EXPECT_EQ(StateOf("urgent"), JobState::kStarting);
  EXPECT_THAT(Get("second").state_message, HasSubstr("1 job is before it"));
}

TEST_F(Jobs, TheSameRequestIdGivesTheSameJobAlsoAfterARestart) {
  CreateJobRequest request = Request("");
  request.request_id = "r1";
  request.display_name = "My Job!";
  const JobView made = Create(request);
  EXPECT_THAT(made.record.id.value(), testing::StartsWith("my-job-"));
  EXPECT_EQ(Create(request).record.id, made.record.id);
  Start();
  EXPECT_EQ(Create(request).record.id, made.record.id);
  request.spec.training.epochs = 7;
  EXPECT_EQ(ReasonOf(scheduler_->CreateJob(now(), request).status()), "REQUEST_ID_REUSED");
}

TEST_F(Jobs, IdsAreUniqueAndChecked) {
  Create("one");
  EXPECT_EQ(ReasonOf(scheduler_->CreateJob(now(), Request("one")).status()), "JOB_ID_TAKEN");
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler_->CreateJob(now(), Request("No/Id")).status()));
  EXPECT_EQ(ReasonOf(scheduler_->GetJob(now(), J("two")).status()), "JOB_NOT_FOUND");
}

TEST_F(Jobs, AreRefusedWhileTheStoreIsBehind) {
  store_->SetRoom(false);
  const auto refused = scheduler_->CreateJob(now(), Request("one"));
  EXPECT_TRUE(absl::IsUnavailable(refused.status()));
  EXPECT_EQ(ReasonOf(refused.status()), "STORE_BUSY");
}

TEST_F(Jobs, AreListedNewestFirstInPages) {
  for (const char* id : {"a", "b", "c", "d"}) Create(id);
  scheduler_->CancelJob(now(), J("b"), "").IgnoreError();
  auto page = scheduler_->ListJobs(now(), {.limit = 2});
  ASSERT_THAT(page.jobs, SizeIs(2));
  EXPECT_EQ(page.jobs[0].record.id, J("d"));
  page = scheduler_->ListJobs(now(), {.limit = 2, .before = page.next_before});
  EXPECT_EQ(page.jobs[1].record.id, J("a"));
  EXPECT_EQ(page.next_before, 0);
  const auto cancelled =
      scheduler_->ListJobs(now(), {.limit = 9, .states = {JobState::kCancelled}});
  ASSERT_THAT(cancelled.jobs, SizeIs(1));
  EXPECT_EQ(cancelled.jobs[0].record.id, J("b"));
}

TEST_F(Jobs, EtagsGuardCancelAndDelete) {
  const JobView made = Create("one");
  EXPECT_EQ(ReasonOf(scheduler_->CancelJob(now(), J("one"), "old").status()), "ETAG_MISMATCH");
  EXPECT_EQ(ReasonOf(scheduler_->DeleteJob(now(), J("one"), "").status()), "JOB_NOT_ENDED");
  const auto cancelled = scheduler_->CancelJob(now(), J("one"), made.etag);
  ASSERT_TRUE(cancelled.ok());
  EXPECT_EQ(cancelled->value.record.status.state, JobState::kCancelled);
  EXPECT_NE(cancelled->value.etag, made.etag);
  EXPECT_EQ(scheduler_->CancelJob(now(), J("one"), "")->value.etag, cancelled->value.etag);
  EXPECT_EQ(ReasonOf(scheduler_->DeleteJob(now(), J("one"), made.etag).status()), "ETAG_MISMATCH");
  EXPECT_TRUE(scheduler_->DeleteJob(now(), J("one"), cancelled->value.etag).ok());
  EXPECT_EQ(ReasonOf(scheduler_->GetJob(now(), J("one")).status()), "JOB_NOT_FOUND");
}

TEST_F(Jobs, EpochsGoOnWhereADeletedJobsIdIsUsedAgain) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kUserError, "bad data")).ok());
  ASSERT_TRUE(scheduler_->DeleteJob(now(), J("one"), "").ok());
  Start();
  Sync("w1");
  EXPECT_EQ(Create("one").attempts.back().epoch, 2);
}

TEST_F(Jobs, ChangesAreReportedWithTheirTickets) {
  store_->Hold();
  const auto made = scheduler_->CreateJob(now(), Request("one"));
  EXPECT_GT(made->ticket, store_->Durable());
  ASSERT_THAT(changes_, SizeIs(1));
  EXPECT_TRUE(changes_[0].status);
  CreateJobRequest again = Request("one");
  store_->Release();
  EXPECT_EQ(store_->Durable(), made->ticket);
}

TEST_F(Jobs, ARepeatIsNotAnsweredBeforeTheFirstIsDurable) {
  store_->Hold();
  CreateJobRequest request = Request("one");
  request.request_id = "r1";
  const auto first = scheduler_->CreateJob(now(), request);
  const auto repeat = scheduler_->CreateJob(now(), request);
  EXPECT_GE(repeat->ticket, first->ticket);
}

}  // namespace
}  // namespace bsnn::scheduler
