// The checkpoint catalogue: causality, limits, counts.
#include "base/limits.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using Catalogue = SchedulerFixture;

TEST_F(Catalogue, TakesACheckpointOnlyAfterTheEventsBeforeIt) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());  // event 1
  PublishRequest request{.source = {W("w1"), J("one"), 1},
                         .step = 5,
                         .epoch = 1,
                         .digest = "d1",
                         .files = {{"manifest.json", 10, "d1"}},
                         .after_event_sequence = 3};
  EXPECT_EQ(ReasonOf(scheduler_->RecordCheckpoint(now(), request).status()), "EVENTS_FIRST");
  EXPECT_TRUE(absl::IsUnavailable(scheduler_->RecordCheckpoint(now(), request).status()))
      << "it is to be tried again";
  ASSERT_TRUE(Say("one", Point("loss", 5, 1.0), At(5)).ok());  // events 2 and 3
  EXPECT_TRUE(scheduler_->RecordCheckpoint(now(), request).ok());
}

TEST_F(Catalogue, MakesRoomBeforeItIsFull) {
  AddWorker("w1");
  CreateJobRequest request = Request("one");
  request.spec.checkpoint.keep_latest = 900;
  request.spec.checkpoint.keep_best = 0;
  Create(request);
  for (int64_t step = 1; step <= base::kCheckpointsPerJobMax + 20; ++step) {
    ASSERT_TRUE(Upload("one", step, "d" + std::to_string(step)).ok()) << step;
  }
}

TEST_F(Catalogue, CountsPointsThatComeAgainOnce) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started(), Point("loss", 1, 1.0)).ok());
  ASSERT_TRUE(Upload("one", 1, "d1").ok());
  ASSERT_TRUE(Say("one", Point("loss", 2, 1.0), Point("loss", 3, 1.0)).ok());
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
  Pass(absl::Seconds(3));
  Sync("w1");
  spec::Started resumed = Started();
  resumed.resumed_from_step = 1;
  ASSERT_TRUE(Say("one", resumed, Point("loss", 2, 1.0), Point("loss", 3, 1.0)).ok());
  EXPECT_EQ(Get("one").record.status.metric_points, 3);
}

TEST_F(Catalogue, AResultDoesNotNameACheckpointThatWasDeleted) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  ASSERT_TRUE(Upload("one", 100, "d1").ok());
  ASSERT_TRUE(Say("one", Success("d1")).ok());
  const base::CheckpointId id = Get("one").record.status.result->checkpoint;
  ASSERT_TRUE(scheduler_->DeleteCheckpoint(now(), J("one"), id).ok());
  EXPECT_TRUE(Get("one").record.status.result->checkpoint.empty());
  EXPECT_EQ(Get("one").record.status.result->checkpoint_digest, "d1");
}

TEST_F(Catalogue, OrdersCarryASpecOnlyToAWorkerThatDoesNotHaveTheAttempt) {
  AddWorker("w1");
  Create("one");
  EXPECT_TRUE(Sync("w1").at(0).spec.has_value());
  EXPECT_FALSE(Sync("w1").at(0).spec.has_value());
}

}  // namespace
}  // namespace bsnn::scheduler
