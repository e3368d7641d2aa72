// The catalogue: publication, retention, pins, pages.
#include <cmath>

#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class Checkpoints : public SchedulerFixture {
 protected:
  Checkpoints() {
    AddWorker("w1");
    CreateJobRequest request = Request("one");
    request.spec.checkpoint.keep_latest = 2;
    request.spec.checkpoint.keep_best = 1;
    Create(request);
  }
  std::vector<int64_t> Steps() {
    std::vector<int64_t> steps;
    const auto page = scheduler_->ListCheckpoints(J("one"), {}, 100);
    for (const auto& checkpoint : page->checkpoints) steps.push_back(checkpoint.step);
    return steps;
  }
  static base::CheckpointId Id(int64_t step) { return Scheduler::CheckpointIdOf(1, step); }
};

TEST_F(Checkpoints, TheNewestAndTheBestStay) {
  ASSERT_TRUE(Upload("one", 10, "d1", 0.9).ok());
  ASSERT_TRUE(Upload("one", 20, "d2", 0.5).ok());
  ASSERT_TRUE(Upload("one", 30, "d3", std::nan("")).ok());
  const auto published = Upload("one", 40, "d4", 0.6);
  ASSERT_TRUE(published.ok());
  EXPECT_THAT(published->value.removed, ElementsAre(Id(20)));
  EXPECT_THAT(Steps(), ElementsAre(40, 30, 10));
  Start();
  EXPECT_THAT(Steps(), ElementsAre(40, 30, 10)) << "also after a restart";
}

TEST_F(Checkpoints, PinnedOnesStayAndAreNotDeleted) {
  ASSERT_TRUE(Upload("one", 10, "d1", 0.1).ok());
  ASSERT_TRUE(scheduler_->PinCheckpoint(now(), J("one"), Id(10), true).ok());
  for (const int64_t step : {20, 30, 40, 50}) {
    ASSERT_TRUE(Upload("one", step, "d" + std::to_string(step), 0.5).ok());
  }
  EXPECT_THAT(Steps(), testing::Contains(10));
  EXPECT_EQ(ReasonOf(scheduler_->DeleteCheckpoint(now(), J("one"), Id(10)).status()),
            "CHECKPOINT_PINNED");
  ASSERT_TRUE(scheduler_->PinCheckpoint(now(), J("one"), Id(10), false).ok());
  EXPECT_TRUE(scheduler_->DeleteCheckpoint(now(), J("one"), Id(10)).ok());
  EXPECT_EQ(ReasonOf(scheduler_->GetCheckpoint(J("one"), Id(10)).status()), "CHECKPOINT_NOT_FOUND");
}

TEST_F(Checkpoints, PublishingTwiceIsTheSameAndAnotherDigestIsRefused) {
  ASSERT_TRUE(Upload("one", 10, "d1").ok());
  EXPECT_TRUE(Upload("one", 10, "d1").ok());
  EXPECT_EQ(ReasonOf(Upload("one", 10, "other").status()), "CHECKPOINT_ID_TAKEN");
  EXPECT_THAT(Steps(), SizeIs(1));
}

TEST_F(Checkpoints, ComeInPagesNewestFirst) {
  for (const int64_t step : {10, 20}) ASSERT_TRUE(Upload("one", step, "d", 0.5).ok());
  auto page = scheduler_->ListCheckpoints(J("one"), {}, 1);
  EXPECT_EQ(page->checkpoints[0].step, 20);
  ASSERT_TRUE(page->next.has_value());
  page = scheduler_->ListCheckpoints(J("one"), page->next, 1);
  EXPECT_EQ(page->checkpoints[0].step, 10);
  EXPECT_FALSE(page->next.has_value());
}

TEST_F(Checkpoints, ASnapshotShowsSeriesAndCounts) {
  Sync("w1");
  ASSERT_TRUE(Say("one", Started(), Point("loss", 1, 0.5), Point("loss", 2, 0.25)).ok());
  const Snapshot snapshot = scheduler_->TakeSnapshot(now());
  EXPECT_EQ(snapshot.jobs[static_cast<size_t>(JobState::kRunning)], 1);
  EXPECT_EQ(snapshot.workers[static_cast<size_t>(WorkerState::kOnline)], 1);
  EXPECT_EQ(snapshot.slots_used[static_cast<size_t>(spec::Device::kCpu)], 1);
  EXPECT_EQ(snapshot.counters.metric_points, 2);
  const telemetry::Sample sample = telemetry_->TakeSample(now().steady, 100);
  ASSERT_THAT(sample.jobs, SizeIs(1));
  ASSERT_THAT(sample.jobs[0].series, SizeIs(1));
  EXPECT_EQ(sample.jobs[0].series[0].value, 0.25);
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kUserError, "x")).ok());
  Pass(options_.series_linger + absl::Seconds(1));
  EXPECT_THAT(telemetry_->TakeSample(now().steady, 100).jobs, SizeIs(0));
}

}  // namespace
}  // namespace bsnn::scheduler
