#include "tests/worker/session/worker_fixture.h"

namespace bsnn::test {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::string Bytes(const FakeState& state, const std::string& checkpoint) {
  const auto found = state.checkpoints.find("jobs/job-a/checkpoints/" + checkpoint);
  return found == state.checkpoints.end() ? "" : found->second.files.at("model.safetensors");
}

TEST_F(WorkerTest, LostRepliesLoseAndDoubleNothing) {
  coordinator_.With([](FakeState& state) { state.publish_replies_to_lose = 3; });
  Plan("metrics 1500\nfinish failed\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  const auto events = Events();
  ASSERT_EQ(events.size(), 1501);
  for (int i = 0; i < 1500; ++i) {
    ASSERT_EQ(std::get<spec::MetricPoint>(events[static_cast<size_t>(i)].kind).value, i);
  }
  EXPECT_GT(coordinator_.With([](FakeState& state) { return state.duplicates; }), 0);
}

TEST_F(WorkerTest, AnOutageStopsNoTrainerAndLosesNothing) {
  Plan(
      "log started\nwait down\nmetrics 5000\ncheckpoint 5\ntouch done\nwait up\nlog last\n"
      "checkpoint 6\nfinish succeeded\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  coordinator_.Stop();
  Touch("down");
  // The trainer runs on: it makes its file while nobody answers.
  ASSERT_FALSE(worker_->WaitForEnd(absl::Milliseconds(500)));
  EXPECT_TRUE(HasFile("data/done"));
  coordinator_.Start();
  Touch("up");
  ASSERT_TRUE(WaitForFinished());
  const auto events = Events();
  EXPECT_EQ(events.size(), 5000 + 5);
  for (size_t i = 0; i < 5000; ++i) {
    ASSERT_EQ(std::get<spec::MetricPoint>(events[i + 1].kind).value, static_cast<double>(i));
  }
  coordinator_.With([](FakeState& state) { EXPECT_EQ(state.order_of_ends, "PPF"); });
}

TEST_F(WorkerTest, ATrainerThatEndsDuringAnOutageIsReportedAfterIt) {
  Plan("log started\nwait down\ncheckpoint 5\nfinish succeeded\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  coordinator_.Stop();
  Touch("down");
  ASSERT_FALSE(worker_->WaitForEnd(absl::Milliseconds(500)));
  coordinator_.With([](FakeState& state) { state.knows_worker = false; });
  coordinator_.Start();
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().outcome, spec::Outcome::kSucceeded);
  coordinator_.With([](FakeState& state) { EXPECT_EQ(state.order_of_ends, "PF"); });
}

TEST_F(WorkerTest, AWorkerMayStartBeforeItsCoordinator) {
  coordinator_.Stop();
  Plan("finish failed\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_FALSE(worker_->WaitForEnd(absl::Milliseconds(200)));
  coordinator_.Start();
  EXPECT_TRUE(WaitForFinished());
}

TEST_F(WorkerTest, ACutUploadGoesOnWhereItStopped) {
  coordinator_.With([](FakeState& state) { state.upload_cut_after = 1'500'000; });
  Plan("checkpoint 5 3000\nfinish succeeded\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  coordinator_.With([](FakeState& state) {
    EXPECT_THAT(state.upload_first_offsets, testing::ElementsAre(0, 1'500'000));
    EXPECT_EQ(Bytes(state, "a1-step-00000005").size(), 3000 * 1024);
    EXPECT_EQ(state.order_of_ends, "PF");
  });
}

TEST_F(WorkerTest, ACheckpointRemovedByRetentionBeforeItsUploadHoldsNothingUp) {
  Plan("log started\nwait down\ncheckpoint 5\nremove 5\ncheckpoint 6\nfinish succeeded\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  coordinator_.Stop();
  Touch("down");
  ASSERT_FALSE(worker_->WaitForEnd(absl::Milliseconds(500)));
  coordinator_.Start();
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().outcome, spec::Outcome::kSucceeded);
  coordinator_.With([](FakeState& state) { EXPECT_NE(Bytes(state, "a1-step-00000006"), ""); });
}

TEST_F(WorkerTest, ACheckpointTheCoordinatorWillNotTakeFailsTheAttemptInTheEnd) {
  coordinator_.With([](FakeState& state) {
    state.upload_status = absl::InvalidArgumentError("spec differs from the job's");
  });
  Plan("checkpoint 5\nfinish succeeded\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().outcome, spec::Outcome::kFailed);
  EXPECT_EQ(Finished().failure, spec::TrainerFailure::kInfrastructure);
  EXPECT_THAT(LogsOf(Events()), Contains(HasSubstr("spec differs from the job's")));
}

TEST_F(WorkerTest, AnEventTheCoordinatorRefusesDoesNotHoldUpTheOthers) {
  Plan(
      "log one\nraw {\"sequence\":1,\"time\":\"2026-01-02T03:04:05Z\",\"type\":\"progress\","
      "\"step\":-1,\"steps_total\":1,\"epoch\":1,\"epochs_total\":1,\"images_per_second\":1,"
      "\"eta_seconds\":1}\nlog two\nfinish failed\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  EXPECT_THAT(LogsOf(Events()),
              testing::ElementsAre("one", HasSubstr("an event was refused"), "two"));
}

TEST_F(WorkerTest, ADrainWithoutACoordinatorEndsAtItsDeadlineAndSaysSo) {
  auto config = MakeConfig();
  config.drain_seconds = 1;
  Plan("pid pid\nlog started\nwait never\n");
  Order({RunOrder("job-a")});
  StartWorker(config);
  ASSERT_TRUE(WaitForLog("started"));
  coordinator_.Stop();
  worker_->Drain();
  EXPECT_TRUE(worker_->WaitForEnd(absl::Seconds(20)));
  EXPECT_FALSE(worker_->HasReportedAll());
}

}  // namespace
}  // namespace bsnn::test
