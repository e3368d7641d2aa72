#include <signal.h>

#include "tests/worker/session/worker_fixture.h"

namespace bsnn::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(WorkerTest, RegistersWithItsSlotsAndRunsAnAttemptToItsAcknowledgedEnd) {
  Plan("arguments\nmetrics 25\ncheckpoint 5\nfinish succeeded\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  const auto events = Events();
  EXPECT_EQ(events.size(), 28);
  EXPECT_EQ(Finished().outcome, spec::Outcome::kSucceeded);
  EXPECT_EQ(LogsOf(events).front().substr(0, 10), "device=cpu");
  EXPECT_THAT(LogsOf(events).front(), HasSubstr("cuda='' mark=inherited"));
  coordinator_.With([](FakeState& state) {
    EXPECT_EQ(state.registration.worker_id(), "worker-a");
    EXPECT_EQ(state.registration.slots_size(), 1);
    EXPECT_EQ(state.registration.slots(0).device(), "cpu");
    EXPECT_EQ(state.order_of_ends, "PF");
    EXPECT_EQ(state.checkpoints.count("jobs/job-a/checkpoints/a1-step-00000005"), 1);
  });
  EXPECT_TRUE(coordinator_.WaitFor([](const FakeState& state) {
    return state.reports.size() == 1 && state.reports[0].phase() == v1::AttemptReport::ENDED &&
           state.reports[0].events_pending() == 0;
  }));
}

TEST_F(WorkerTest, RemovesTheFolderOnceTheCoordinatorHasForgottenTheAttempt) {
  Plan("finish succeeded\n");
  coordinator_.With([](FakeState& state) { state.require_checkpoint = false; });
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  ASSERT_TRUE(WaitForRounds(2));
  EXPECT_TRUE(HasFile("work/attempts/job-a.1/spec.json"));
  Order({});
  ASSERT_TRUE(coordinator_.WaitFor([](const FakeState& state) { return state.reports.empty(); }));
  ASSERT_TRUE(WaitForRounds(5));
  EXPECT_FALSE(HasFile("work/attempts/job-a.1"));
}

TEST_F(WorkerTest, WrongLinesBecomeWarningsAndSequencesStayContiguous) {
  // The fake coordinator refuses gaps, so arrival of the last event proves contiguity.
  Plan("log one\nraw {broken\nraw " + std::string(70'000, 'x') +
       "\nlog two\nfinish failed\ntorn {\"half\nexit 1\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  const auto logs = LogsOf(Events());
  ASSERT_EQ(logs.size(), 4);
  EXPECT_THAT(logs[1], HasSubstr("a line of the trainer was skipped"));
  EXPECT_THAT(logs[2], HasSubstr("longer than 65536 bytes"));
}

TEST_F(WorkerTest, ATrainerThatDiesIsReportedWithItsSignalAndItsLastWords) {
  Plan("log one\nstderr terminate called after throwing\nkill 9\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().outcome, spec::Outcome::kFailed);
  EXPECT_EQ(Finished().failure, spec::TrainerFailure::kInfrastructure);
  EXPECT_EQ(Finished().message, "trainer died: signal 9 (Killed)");
  EXPECT_THAT(LogsOf(Events()), Contains(HasSubstr("terminate called after throwing")));
}

TEST_F(WorkerTest, ExitStatusTwoIsTheUsersError) {
  Plan("stderr spec.network is wrong\nexit 2\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().failure, spec::TrainerFailure::kUserError);
}

TEST_F(WorkerTest, ATrainerThatCannotBeStartedFailsTheAttemptWithItsPath) {
  auto config = MakeConfig();
  config.trainer = folder_ / "no-such-trainer";
  Order({RunOrder("job-a")});
  StartWorker(config);
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().failure, spec::TrainerFailure::kInfrastructure);
  EXPECT_THAT(Finished().message, HasSubstr("no-such-trainer"));
}

TEST_F(WorkerTest, AnOrderThatCannotBeReadFailsTheAttempt) {
  auto order = RunOrder("job-a");
  order.mutable_spec()->mutable_network()->set_time_steps(9999);
  Order({order, RunOrder("job-b", 1, 7)});
  StartWorker();
  ASSERT_TRUE(WaitForFinished("job-a.1"));
  ASSERT_TRUE(WaitForFinished("job-b.1"));
  EXPECT_THAT(Finished("job-a.1").message, HasSubstr("time_steps"));
  EXPECT_THAT(Finished("job-b.1").message, HasSubstr("slot is 7 (allowed: 0 to 0)"));
}

TEST_F(WorkerTest, AStopIsAskedForAndTheTrainerWritesItsCheckpoint) {
  Plan("log started\nwait never\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  Order({StopOrder("job-a", 1, 20)});
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().outcome, spec::Outcome::kStopped);
  coordinator_.With([](FakeState& state) { EXPECT_EQ(state.order_of_ends, "PF"); });
}

TEST_F(WorkerTest, ATrainerThatDoesNotStopIsKilledAfterItsGrace) {
  Plan("ignore-term\nlog started\nwait never\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  Order({StopOrder("job-a", 1, 0.3)});
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().message, "trainer killed: it did not stop within 300ms: signal 9 (Killed)");
}

TEST_F(WorkerTest, AStopOfAnAttemptThatNeverStartedIsReported) {
  Order({StopOrder("job-a", 4, 20)});
  StartWorker();
  ASSERT_TRUE(WaitForFinished("job-a.4"));
  EXPECT_EQ(Finished("job-a.4").outcome, spec::Outcome::kStopped);
}

TEST_F(WorkerTest, AFencedAttemptIsKilledAndSaysNothingMore) {
  Plan("pid pid\nlog started\nwait go\nlog never\nwait never\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  coordinator_.With([](FakeState& state) { state.fence = true; });
  Touch("go");
  ASSERT_TRUE(coordinator_.WaitFor([](const FakeState& state) {
    return state.reports.size() == 1 && state.reports[0].phase() == v1::AttemptReport::ENDED;
  }));
  EXPECT_EQ(::kill(std::stoi(Read(folder_ / "data/pid")), 0), -1);
  EXPECT_EQ(LogsOf(Events()).size(), 1);
}

TEST_F(WorkerTest, AnAttemptNotNamedAnyMoreIsKilledAndForgotten) {
  Plan("pid pid\nlog started\nwait never\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  Order({});
  ASSERT_TRUE(coordinator_.WaitFor([](const FakeState& state) { return state.reports.empty(); }));
  // Its slot is free for another only when it is gone.
  std::filesystem::remove(folder_ / "data/plan");
  Plan("finish failed\n");
  Order({RunOrder("job-b")});
  ASSERT_TRUE(WaitForFinished("job-b.1"));
  EXPECT_EQ(::kill(std::stoi(Read(folder_ / "data/pid")), 0), -1);
  EXPECT_FALSE(HasFile("work/attempts/job-a.1"));
}

TEST_F(WorkerTest, ARegistrationThatWasLostIsRepeatedWithoutHurtingTheTrainer) {
  Plan("log started\nwait go\nfinish failed\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  coordinator_.With([](FakeState& state) { state.knows_worker = false; });
  ASSERT_TRUE(
      coordinator_.WaitFor([](const FakeState& state) { return state.registrations == 2; }));
  Touch("go");
  ASSERT_TRUE(WaitForFinished());
  EXPECT_EQ(Finished().outcome, spec::Outcome::kFailed);
  EXPECT_EQ(Finished().message, "");
}

TEST_F(WorkerTest, TheNewestCheckpointThatVerifiesIsRestored) {
  const std::string content(5000, 'c');
  auto flipped = MakeCheckpoint("job-a", "a1-step-00000003", 3, std::string(5000, 'd'));
  flipped.files["model.safetensors"][4000] ^= 1;
  Store("a1-step-00000003", flipped);
  Store("a1-step-00000002", MakeCheckpoint("job-a", "a1-step-00000002", 2, "lost"));
  Store("a1-step-00000001", MakeCheckpoint("job-a", "a1-step-00000001", 1, content));
  coordinator_.With([](FakeState& state) {
    state.data_loss = "jobs/job-a/checkpoints/a1-step-00000002";
    state.download_cut_after = 2500;
  });
  auto order = RunOrder("job-a", 2);
  for (const char* id :
       {"a1-step-00000004", "a1-step-00000003", "a1-step-00000002", "a1-step-00000001"}) {
    order.add_checkpoints(std::string("jobs/job-a/checkpoints/") + id);
  }
  Plan("resumed\nfinish failed\n");
  Order({order});
  StartWorker();
  ASSERT_TRUE(WaitForFinished("job-a.2"));
  const auto logs = LogsOf(Events("job-a.2"));
  ASSERT_EQ(logs.size(), 4);
  EXPECT_THAT(logs[0], HasSubstr("a1-step-00000004 was passed over"));
  EXPECT_THAT(logs[1], HasSubstr("does not match its SHA-256"));
  EXPECT_THAT(logs[2], HasSubstr("a stored byte has changed"));
  EXPECT_THAT(logs[3], HasSubstr("resumed step-00000001"));
  // The cut download of step 3 went on where it had stopped.
  coordinator_.With([](FakeState& state) { EXPECT_THAT(state.download_offsets, Contains(3000)); });
}

TEST_F(WorkerTest, DrainStopsReportsAndEnds) {
  Plan("log started\nwait never\n");
  Order({RunOrder("job-a")});
  StartWorker();
  ASSERT_TRUE(WaitForLog("started"));
  worker_->Drain();
  EXPECT_TRUE(worker_->WaitForEnd(absl::Seconds(30)));
  EXPECT_TRUE(worker_->HasReportedAll());
  EXPECT_EQ(Finished().outcome, spec::Outcome::kStopped);
  coordinator_.With([](FakeState& state) {
    EXPECT_TRUE(state.draining);
    EXPECT_EQ(state.order_of_ends, "PF");
  });
}

}  // namespace
}  // namespace bsnn::test
