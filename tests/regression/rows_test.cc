// Rows of the store that contradict each other, and lists that are filtered.
#include <algorithm>

#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using testing::HasSubstr;

using Rows = SchedulerFixture;

TEST_F(Rows, ADamagedRowRefusesTheStartAndIsNamed) {
  AddWorker("w1");
  Create("one");
  ASSERT_EQ(StateOf("one"), JobState::kStarting);
  store::JobStatus status = Get("one").record.status;
  status.state = JobState::kQueued;  // with a live attempt
  store_->Enqueue({store::UpdateJob{J("one"), status}});
  const auto made = Scheduler::Make(options_, *store_, *telemetry_, nullptr, [] { return 1; });
  ASSERT_FALSE(made.ok());
  EXPECT_TRUE(absl::IsDataLoss(made.status())) << made.status();
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("job one"));
}

TEST_F(Rows, AnAttemptOfAWorkerThatIsNotThereRefusesTheStart) {
  AddWorker("w1");
  Create("one");
  store_->Enqueue({store::DeleteWorker{W("w1")}});
  const auto made = Scheduler::Make(options_, *store_, *telemetry_, nullptr, [] { return 1; });
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("job one"));
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("w1"));
}

TEST_F(Rows, AFilterFindsWhatAWalkWouldFind) {
  AddWorker("w1", 3);
  for (int i = 0; i < 40; ++i) Create("j" + std::to_string(i));
  for (int i = 0; i < 40; i += 3) {
    if (StateOf("j" + std::to_string(i)) != JobState::kQueued) continue;
    ASSERT_TRUE(scheduler_->CancelJob(now(), J("j" + std::to_string(i)), "").ok());
  }
  const std::vector<std::vector<JobState>> filters = {
      {},
      {JobState::kQueued},
      {JobState::kCancelled, JobState::kStarting},
      {JobState::kFailed},
      {JobState::kQueued, JobState::kQueued, JobState::kCancelled}};
  for (const auto& states : filters) {
    std::vector<std::string> expected;
    for (int i = 39; i >= 0; --i) {
      const std::string job = "j" + std::to_string(i);
      if (states.empty() || std::find(states.begin(), states.end(), StateOf(job)) != states.end()) {
        expected.push_back(job);
      }
    }
    std::vector<std::string> found;
    ListJobsRequest request{.limit = 7, .before = 0, .states = states};
    do {
      const ListJobsPage page = scheduler_->ListJobs(now(), request);
      for (const JobView& job : page.jobs) found.push_back(job.record.id.value());
      request.before = page.next_before;
    } while (request.before != 0);
    EXPECT_EQ(found, expected);
  }
}

}  // namespace
}  // namespace bsnn::scheduler
