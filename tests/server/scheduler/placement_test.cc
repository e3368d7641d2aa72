#include "tests/server/scheduler/scheduler_fixture.h"

namespace bsnn::scheduler {
namespace {

using spec::DataName;

class Placement : public SchedulerFixture {
 protected:
  void AddWorkerWith(const std::string& worker, std::vector<DataName> names) {
    RegisterWorkerRequest request;
    request.id = W(worker);
    request.incarnation = "1";
    request.slots = {{0, spec::Device::kCpu, "", 0}};
    request.data_sets.emplace();
    for (const DataName name : names) request.data_sets->push_back({.name = name});
    ASSERT_TRUE(scheduler_->RegisterWorker(now(), request).ok());
  }
  CreateJobRequest RequestOf(const std::string& id, DataName data) {
    CreateJobRequest request = Request(id);
    request.spec.data.name = data;
    return request;
  }
  int64_t Queued(PendingReason reason) {
    return scheduler_->TakeSnapshot(now()).queued[static_cast<size_t>(reason)];
  }
};

TEST_F(Placement, AJobWaitsForAWorkerThatHasItsData) {
  AddWorkerWith("a", {DataName::kMnist});
  Create(RequestOf("one", DataName::kCifar10));
  Pass(absl::Seconds(1));
  EXPECT_EQ(StateOf("one"), JobState::kQueued);
  EXPECT_EQ(Get("one").pending, PendingReason::kNoSuchDevice);
  EXPECT_EQ(Get("one").state_message, "waits for a worker with the data set cifar10: none has it");
  AddWorkerWith("b", {DataName::kMnist, DataName::kCifar10});
  EXPECT_EQ(Get("one").attempts.back().worker, W("b"));
}

TEST_F(Placement, EachQueuedJobIsCountedUnderItsReason) {
  AddWorkerWith("a", {DataName::kMnist});
  Create(RequestOf("trains", DataName::kMnist));
  Create(RequestOf("waits", DataName::kMnist));
  Create(RequestOf("waits-too", DataName::kMnist));
  Create(RequestOf("has-no-data", DataName::kCifar10));
  Pass(absl::Seconds(1));
  EXPECT_EQ(Queued(PendingReason::kWaitingForSlots), 2);
  EXPECT_EQ(Queued(PendingReason::kNoSuchDevice), 1);
  EXPECT_EQ(Queued(PendingReason::kBackOff), 0);
  ASSERT_TRUE(Say("trains", Failure(spec::TrainerFailure::kInfrastructure, "died")).ok());
  EXPECT_EQ(Queued(PendingReason::kBackOff), 1);
}

TEST_F(Placement, AJobOfASilentWorkerCountsInThePositionsOnceItIsQueued) {
  AddWorkerWith("a", {DataName::kMnist});
  Create(RequestOf("first", DataName::kMnist));
  Create(RequestOf("second", DataName::kMnist));
  Sleep(absl::Milliseconds(1));
  Pass(options_.lost_after + absl::Seconds(1));
  EXPECT_EQ(Get("first").queue_position, 1);
  EXPECT_EQ(Get("second").queue_position, 2);
  EXPECT_EQ(Get("second").pending, PendingReason::kNoWorkerOnline);
}

}  // namespace
}  // namespace bsnn::scheduler
