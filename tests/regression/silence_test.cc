// Who is silent, and what was late: pauses of the program, of the network, of the worker.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::SizeIs;

class Silence : public SchedulerFixture {
 protected:
  static constexpr int kWorkers = 6;
  void StartWorkers() {
    for (int i = 0; i < kWorkers; ++i) {
      AddWorker(Name(i));
      Create("job-" + std::to_string(i));
      Sync(Name(i));
    }
  }
  static std::string Name(int worker) { return "w" + std::to_string(worker); }
  /// How many attempts have ended, or leases run out.
  int64_t Losses() {
    int64_t losses = scheduler_->TakeSnapshot(now()).counters.leases_expired;
    for (int i = 0; i < kWorkers; ++i) {
      losses += std::ssize(Get("job-" + std::to_string(i)).attempts) - 1;
    }
    return losses;
  }
};

TEST_F(Silence, OfAProgramThatWasStoppedForAnyTimeLosesNobody) {
  for (absl::Duration pause; pause <= 3 * options_.lease; pause += absl::Milliseconds(700)) {
    store_ = std::make_unique<store::MemoryJobStore>();
    Start();
    StartWorkers();
    // The workers' calls wait in sockets; the first that is read is only one of them.
    Pass(absl::Seconds(1));
    Sleep(pause);
    Sync(Name(0));
    Pass(absl::Seconds(2));
    for (int i = 1; i < kWorkers; ++i) Sync(Name(i));
    EXPECT_EQ(Losses(), 0) << pause;
  }
}

TEST_F(Silence, DuringAReplayOfAnyLengthLosesNobody) {
  for (absl::Duration replay; replay <= 3 * options_.lease; replay += absl::Milliseconds(700)) {
    store_ = std::make_unique<store::MemoryJobStore>();
    Start();
    StartWorkers();
    // Make reads the store for so long; nobody can call; then it begins.
    auto made = Scheduler::Make(options_, *store_, *telemetry_, this, [] { return 7; });
    ASSERT_TRUE(made.ok());
    scheduler_ = *std::move(made);
    Sleep(replay);
    scheduler_->Begin(now());
    Pass(absl::Seconds(9));  // workers back off
    for (int i = 0; i < kWorkers; ++i) Sync(Name(i));
    EXPECT_EQ(Losses(), 0) << replay;
  }
}

TEST_F(Silence, OfAWorkerThatComesBackBeforeItsJobWentElsewhereEndsNothing) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  Pass(options_.lease + absl::Seconds(30));  // nobody else could take it
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kSilent);
  ASSERT_THAT(Sync("w1"), SizeIs(1));
  EXPECT_EQ(Get("one").attempts.back().epoch, 1);
  EXPECT_TRUE(Say("one", At(10)).ok()) << "it goes on as if nothing had happened";
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kOnline);
}

TEST_F(Silence, OfAWorkerLetsItsJobLeaveWhereThereIsAPlace) {
  AddWorker("w1");
  Create("one");
  Sync("w1");
  ASSERT_TRUE(Say("one", Started()).ok());
  Pass(options_.lease - absl::Seconds(2));
  AddWorker("w2");
  Pass(absl::Seconds(3));
  ASSERT_EQ(Get("one").attempts.back().epoch, 2);
  EXPECT_EQ(Get("one").attempts.back().worker, W("w2"));
  EXPECT_EQ(Get("one").attempts[0].failure_class, FailureClass::kWorkerLost);
  EXPECT_EQ(Get("one").record.status.failures_in_row, 0);
}

TEST_F(Silence, PlacesNothingNewOnASilentWorker) {
  AddWorker("w1");
  Pass(options_.lease + absl::Seconds(1));
  Create("one");
  EXPECT_EQ(StateOf("one"), JobState::kQueued);
  Sync("w1");
  EXPECT_EQ(StateOf("one"), JobState::kStarting);
}

TEST_F(Silence, OfALostWorkerIsRememberedOverARestart) {
  options_.worker_linger = absl::Hours(2);
  Start();
  AddWorker("w1");
  Pass(options_.lost_after + absl::Seconds(1));
  const absl::Time seen = scheduler_->GetWorker(now(), W("w1"))->record.last_seen_time;
  Pass(absl::Hours(1));
  Start();
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kLost);
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->record.last_seen_time, seen);
  Pass(absl::Hours(1));
  EXPECT_EQ(ReasonOf(scheduler_->GetWorker(now(), W("w1")).status()), "WORKER_UNKNOWN")
      << "its time in the list did not begin anew";
}

TEST_F(Silence, AnOvertakenCallChangesNothing) {
  AddWorker("w1");
  SynchronizeRequest late;
  late.worker = W("w1");
  late.incarnation = "1";
  late.number = 1;
  late.draining = true;
  SynchronizeRequest newer = late;
  newer.number = 2;
  newer.draining = false;
  ASSERT_TRUE(scheduler_->Synchronize(now(), newer).ok());
  ASSERT_TRUE(scheduler_->Synchronize(now(), late).ok());
  EXPECT_EQ(scheduler_->GetWorker(now(), W("w1"))->state, WorkerState::kOnline);
}

}  // namespace
}  // namespace bsnn::scheduler
