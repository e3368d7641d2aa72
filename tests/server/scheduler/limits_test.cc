// What is bounded, and what the snapshot counts.
#include "base/limits.h"

#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class Limits : public SchedulerFixture {
 protected:
  void Run(const std::string& job) {
    Create(job);
    Sync("w1");
    ASSERT_TRUE(Say(job, Started()).ok());
  }
  std::vector<spec::MetricPoint> Stored(const std::string& job) {
    return store_->ListMetrics(J(job), {0, base::kMetricPageSizeMax, "", ""})->points;
  }
};

TEST_F(Limits, SeriesBeyondTheLimitAreDroppedAndCounted) {
  AddWorker("w1");
  Run("one");
  std::vector<Kind> events;
  for (int i = 0; i < base::kSeriesPerJobMax + 3; ++i) {
    events.push_back(Point("m" + std::to_string(i), 1, i));
    if (std::ssize(events) == base::kEventsPerBatchMax) {
      ASSERT_TRUE(Publish("one", std::exchange(events, {})).ok());
    }
  }
  ASSERT_TRUE(Publish("one", events).ok());
  ASSERT_TRUE(Say("one", Point("m0", 2, 7)).ok()) << "known series go on";
  const store::JobStatus status = Get("one").record.status;
  EXPECT_EQ(status.metric_points, base::kSeriesPerJobMax + 1);
  EXPECT_EQ(status.metric_points_dropped, 3);
  EXPECT_THAT(Stored("one"), SizeIs(base::kSeriesPerJobMax + 1));
  EXPECT_EQ(scheduler_->TakeSnapshot(now()).counters.metric_points_dropped, 3);
}

TEST_F(Limits, AJobWithAllItsPointsKeepsItsSeriesOverARestart) {
  AddWorker("w1");
  Run("one");
  ASSERT_TRUE(Say("one", Point("loss", 1, 0.5)).ok());
  store::JobStatus status = Get("one").record.status;
  status.metric_points = base::kMetricPointsPerJobMax;
  store_->Enqueue({store::UpdateJob{J("one"), status}});
  Start();
  EXPECT_EQ(Get("one").record.status.metric_points, base::kMetricPointsPerJobMax);
  EXPECT_EQ(Get("one").record.status.metric_points_dropped, 0);
  const telemetry::Sample sample = telemetry_->TakeSample(now().steady, 100);
  ASSERT_THAT(sample.jobs, SizeIs(1));
  ASSERT_THAT(sample.jobs[0].series, SizeIs(1));
  EXPECT_EQ(sample.jobs[0].series[0].value, 0.5);
  ASSERT_TRUE(Say("one", Point("loss", 2, 0.25)).ok());
  EXPECT_EQ(Get("one").record.status.metric_points_dropped, 1);
  EXPECT_THAT(Stored("one"), SizeIs(1));
}

TEST_F(Limits, EventsAreRefusedWhileTheStoreIsBehindAndTakenLater) {
  AddWorker("w1");
  Run("one");
  const EventBatch batch = BatchOf("one", {Point("loss", 1, 0.5)});
  store_->SetRoom(false);
  EXPECT_EQ(ReasonOf(scheduler_->AcceptEvents(now(), batch).status()), "STORE_BUSY");
  store_->SetRoom(true);
  EXPECT_EQ(scheduler_->AcceptEvents(now(), batch)->value, 2);
  EXPECT_EQ(Get("one").record.status.metric_points, 1);
}

TEST_F(Limits, BatchesHaveASize) {
  AddWorker("w1");
  Run("one");
  EXPECT_TRUE(absl::IsInvalidArgument(Publish("one", {}).status()));
  const std::vector<Kind> many(base::kEventsPerBatchMax + 1, Kind(At(1)));
  EXPECT_TRUE(absl::IsInvalidArgument(Publish("one", many).status()));
  EventBatch zero = BatchOf("one", {At(1)});
  zero.events[0].sequence = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(scheduler_->AcceptEvents(now(), zero).status()));
}

TEST_F(Limits, OnlyTheNewestAttemptsAreShown) {
  AddWorker("w1");
  CreateJobRequest request = Request("one");
  request.spec.scheduling.max_restarts = 100;
  Create(request);
  for (int i = 0; i < base::kAttemptsShownMax + 2; ++i) {
    ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
    for (int waited = 0; StateOf("one") == JobState::kQueued && waited < 400; ++waited) {
      Pass(absl::Seconds(1));
      Sync("w1");
    }
  }
  const JobView view = Get("one");
  EXPECT_THAT(view.attempts, SizeIs(base::kAttemptsShownMax));
  EXPECT_EQ(view.attempts.back().epoch, base::kAttemptsShownMax + 3);
}

TEST_F(Limits, OrdersOfferOnlyTheNewestCheckpoints) {
  AddWorker("w1");
  CreateJobRequest request = Request("one");
  request.spec.checkpoint.keep_latest = 20;
  Create(request);
  for (int64_t step = 10; step <= 80; step += 10) {
    ASSERT_TRUE(Upload("one", step, "d" + std::to_string(step)).ok());
  }
  const auto orders = Sync("w1");
  ASSERT_THAT(orders, SizeIs(1));
  ASSERT_THAT(orders[0].checkpoints, SizeIs(base::kCheckpointsInOrderMax));
  EXPECT_EQ(orders[0].checkpoints[0], Scheduler::CheckpointIdOf(1, 80));
  EXPECT_EQ(orders[0].checkpoints[4], Scheduler::CheckpointIdOf(1, 40));
}

TEST_F(Limits, ALostWorkerIsListedForAWhile) {
  AddWorker("w1");
  Pass(options_.lost_after + absl::Seconds(1));
  EXPECT_EQ(scheduler_->TakeSnapshot(now()).workers[static_cast<size_t>(WorkerState::kLost)], 1);
  Pass(options_.worker_linger);
  EXPECT_EQ(ReasonOf(scheduler_->GetWorker(now(), W("w1")).status()), "WORKER_UNKNOWN");
  EXPECT_THAT(store_->LoadAll()->workers, SizeIs(0));
}

TEST_F(Limits, ASnapshotCountsWhatHappened) {
  AddWorker("w1", 2);
  AddWorker("w2", 1, "1", spec::Device::kCuda);
  Run("one");
  Create("two");
  ASSERT_TRUE(Say("one", Failure(spec::TrainerFailure::kInfrastructure, "x")).ok());
  Pass(absl::Seconds(5));
  const Snapshot snapshot = scheduler_->TakeSnapshot(now());
  EXPECT_EQ(snapshot.counters.queue_waits, 3);
  EXPECT_EQ(snapshot.counters.restarts[static_cast<size_t>(FailureClass::kInfrastructure)], 1);
  EXPECT_EQ(snapshot.counters.transitions[static_cast<size_t>(JobState::kStarting)], 3);
  EXPECT_EQ(snapshot.jobs[static_cast<size_t>(JobState::kStarting)], 2);
  EXPECT_EQ(snapshot.slots[static_cast<size_t>(spec::Device::kCpu)], 2);
  EXPECT_EQ(snapshot.slots[static_cast<size_t>(spec::Device::kCuda)], 1);
  EXPECT_EQ(snapshot.heartbeat_age_seconds_max, 5);
  EXPECT_THAT(telemetry_->TakeSample(now().steady, 100).jobs, SizeIs(2));
}

}  // namespace
}  // namespace bsnn::scheduler
