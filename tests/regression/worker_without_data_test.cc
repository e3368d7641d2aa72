// A worker that lacks a data set fails no job that another worker can run.
#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

class WorkerWithoutData : public SchedulerFixture {
 protected:
  CreateJobRequest RequestWithRestarts(const std::string& id, int32_t max_restarts) {
    CreateJobRequest request = Request(id);
    request.spec.scheduling.max_restarts = max_restarts;
    return request;
  }
  /// The trainers of `workers` lack the data, all others succeed, until every job has ended.
  void Train(const std::vector<std::string>& jobs, const std::set<std::string>& workers_without) {
    for (int round = 0; round < 600; ++round) {
      bool all_ended = true;
      for (const std::string& job : jobs) {
        if (IsFinal(StateOf(job))) continue;
        all_ended = false;
        if (StateOf(job) != JobState::kStarting) continue;
        const std::string worker = Get(job).attempts.back().worker.value();
        Sync(worker);
        if (workers_without.contains(worker)) {
          ASSERT_TRUE(Say(job, Failure(spec::TrainerFailure::kDataUnavailable,
                                       "there is no data set mnist"))
                          .ok());
        } else {
          ASSERT_TRUE(Say(job, Started(), At(1)).ok());
          ASSERT_TRUE(Upload(job, 100, "d" + job).ok());
          ASSERT_TRUE(Say(job, Success("d" + job)).ok());
        }
      }
      if (all_ended) return;
      Pass(absl::Seconds(1));
      for (const std::string& worker : workers_) Sync(worker);
    }
  }
  void AddWorkers(const std::vector<std::string>& workers) {
    workers_ = workers;
    for (const std::string& worker : workers) AddWorker(worker);
  }

  std::vector<std::string> workers_;
};

TEST_F(WorkerWithoutData, IsNoFailureOfAJobThatMayNotBeRestarted) {
  AddWorkers({"bad-1", "bad-2", "good"});
  Create(RequestWithRestarts("one", 0));
  Train({"one"}, {"bad-1", "bad-2"});
  EXPECT_EQ(StateOf("one"), JobState::kSucceeded);
  EXPECT_EQ(Get("one").record.status.failures_in_row, 0);
}

TEST_F(WorkerWithoutData, AloneIsTriedAsOftenAsTheJobMayBeRestarted) {
  AddWorkers({"bad"});
  Create(RequestWithRestarts("one", 1));
  Train({"one"}, {"bad"});
  EXPECT_EQ(StateOf("one"), JobState::kFailed);
  EXPECT_EQ(Get("one").attempts.size(), 2U);
}

}  // namespace
}  // namespace bsnn::scheduler
