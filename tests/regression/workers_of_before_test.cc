// A worker that was lost stays lost over a restart of the coordinator, with the time at which it
// was heard last, and leaves the list in time.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class WorkersOfBefore : public SchedulerFixture {
 protected:
  void SetUp() override {
    AddWorker("w1");
    heard_ = now().wall;
    Pass(absl::Minutes(4));
    ASSERT_EQ(View().state, WorkerState::kLost);
  }
  WorkerView View() { return *scheduler_->GetWorker(now(), W("w1")); }

  absl::Time heard_;
};

TEST_F(WorkersOfBefore, StayLost) {
  RestartAfter(absl::Seconds(1));
  EXPECT_EQ(View().state, WorkerState::kLost);
  EXPECT_EQ(View().record.last_seen_time, heard_);
  Create("one");
  EXPECT_THAT(Get("one").state_message, HasSubstr("none"));
  Pass(absl::Minutes(4));
  EXPECT_EQ(View().record.last_seen_time, heard_);
  EXPECT_EQ(scheduler_->TakeSnapshot(now()).counters.leases_expired, 0) << "it had none";
}

TEST_F(WorkersOfBefore, AreForgottenHoweverOftenTheCoordinatorStarts) {
  for (int i = 0; i < 5; ++i) {
    RestartAfter(absl::Hours(5));
    Pass(absl::Seconds(1));
  }
  EXPECT_THAT(scheduler_->ListWorkers(now(), {}, 10), SizeIs(0));
}

TEST_F(WorkersOfBefore, ThatGoWhileTheCoordinatorIsAwayAreForgottenToo) {
  AddWorker("w2");
  Pass(absl::Seconds(5));
  for (int i = 0; i < 6; ++i) {
    RestartAfter(absl::Hours(5));
    Pass(absl::Seconds(1));  // too short for its loss to be noticed
  }
  Pass(absl::Minutes(4));
  EXPECT_THAT(scheduler_->ListWorkers(now(), {}, 10), SizeIs(0));
}

TEST_F(WorkersOfBefore, ComeBack) {
  RestartAfter(absl::Seconds(1));
  Create("one");
  EXPECT_THAT(Sync("w1"), SizeIs(1));
  EXPECT_EQ(View().state, WorkerState::kOnline);
  EXPECT_EQ(View().record.last_seen_time, now().wall);
  RestartAfter(absl::Seconds(1));
  EXPECT_EQ(View().state, WorkerState::kOnline);
}

TEST_F(WorkersOfBefore, AreNotKeptByAWallClockThatWasSetBack) {
  RestartAfter(absl::Seconds(1), /*wall_jump=*/-absl::Hours(24 * 30));
  Pass(options_.worker_linger + absl::Seconds(1));
  EXPECT_THAT(scheduler_->ListWorkers(now(), {}, 10), SizeIs(0));
}

}  // namespace
}  // namespace bsnn::scheduler
