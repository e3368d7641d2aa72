#include "server/policy/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace bsnn::policy {
namespace {

using spec::DataName;
using spec::Device;
using testing::ElementsAre;
using testing::IsEmpty;

base::WorkerId W(const std::string& id) { return *base::WorkerId::Make(id); }

class Decide : public testing::Test {
 protected:
  void AddJob(int64_t job, Needs needs = {}, int32_t priority = 0) {
    wants_.Put({priority, job}, needs, true);
  }
  /// A worker of `slots` slots, the first `free` of which are free.
  void AddWorker(const std::string& id, int slots, int free, Device device = Device::kCpu,
                 std::optional<std::set<DataName>> data = std::nullopt) {
    Offer offer;
    offer.slots[static_cast<size_t>(device)] = slots;
    for (int slot = 0; slot < free; ++slot) offer.free[static_cast<size_t>(device)].insert(slot);
    offer.data = std::move(data);
    offers_.Put(W(id), std::move(offer));
  }
  Plan Run() const { return policy::Decide({wants_, offers_}); }
  /// "job worker.slot" of each start.
  std::vector<std::string> Starts() const {
    std::vector<std::string> starts;
    for (const Start& start : Run().starts) {
      starts.push_back(std::to_string(start.job) + " " + start.worker.value() + "." +
                       std::to_string(start.slot));
    }
    return starts;
  }
  WaitReason ReasonOf(const Needs& needs) const { return Run().reasons.at(needs); }

  Wants wants_;
  Offers offers_;
};

TEST_F(Decide, TakesThePriorityThenTheAge) {
  AddJob(1);
  AddJob(2, {}, 5);
  AddJob(3, {}, 5);
  AddWorker("a", 2, 2);
  EXPECT_THAT(Starts(), ElementsAre("2 a.0", "3 a.1"));
}

TEST_F(Decide, AJobThatNothingFitsHoldsNobodyUp) {
  AddJob(1, {.device = Device::kCuda});
  AddJob(2);
  AddWorker("a", 1, 1);
  EXPECT_THAT(Starts(), ElementsAre("2 a.0"));
  EXPECT_EQ(ReasonOf({.device = Device::kCuda}), WaitReason::kNoSuchDevice);
}

TEST_F(Decide, SpreadsOverTheWorkersWithMostFreeSlots) {
  for (int job = 1; job <= 4; ++job) AddJob(job);
  AddWorker("a", 4, 1);
  AddWorker("b", 4, 3);
  AddWorker("c", 4, 2);
  EXPECT_THAT(Starts(), ElementsAre("1 b.0", "2 b.1", "3 c.0", "4 a.0"));
}

TEST_F(Decide, AJobThatTakesAnyDeviceGetsCudaWhereThereIsSome) {
  AddJob(1);
  AddJob(2);
  AddWorker("a", 4, 4, Device::kCpu);
  AddWorker("z", 1, 1, Device::kCuda);
  EXPECT_THAT(Starts(), ElementsAre("1 z.0", "2 a.0"));
}

TEST_F(Decide, AJobDoesNotGoBackToWhereItFailedWhileAnotherWorkerCouldRunIt) {
  const Needs needs{.avoid = {W("a")}};
  AddJob(1, needs);
  AddWorker("a", 1, 1);
  AddWorker("b", 1, 0);
  EXPECT_THAT(Starts(), IsEmpty());
  EXPECT_EQ(ReasonOf(needs), WaitReason::kAvoidsWorkers);
  AddWorker("b", 1, 1);
  EXPECT_THAT(Starts(), ElementsAre("1 b.0"));
}

TEST_F(Decide, AJobGoesBackToWhereItFailedWhereNothingElseFits) {
  AddJob(1, {.device = Device::kCuda, .avoid = {W("a")}});
  AddWorker("a", 1, 1, Device::kCuda);
  AddWorker("b", 1, 1, Device::kCpu);
  EXPECT_THAT(Starts(), ElementsAre("1 a.0"));
}

TEST_F(Decide, AJobGoesWhereItsDataIs) {
  AddJob(1, {.data = DataName::kCifar10});
  AddWorker("a", 8, 8, Device::kCpu, std::set{DataName::kMnist});
  EXPECT_EQ(ReasonOf({.data = DataName::kCifar10}), WaitReason::kNoData);
  AddWorker("b", 1, 0, Device::kCpu, std::set{DataName::kMnist, DataName::kCifar10});
  EXPECT_EQ(ReasonOf({.data = DataName::kCifar10}), WaitReason::kBusy);
  AddWorker("b", 1, 1, Device::kCpu, std::set{DataName::kMnist, DataName::kCifar10});
  EXPECT_THAT(Starts(), ElementsAre("1 b.0"));
}

TEST_F(Decide, AWorkerThatDoesNotSayWhatDataItHasIsTried) {
  AddJob(1, {.data = DataName::kCifar10});
  AddWorker("a", 1, 1);
  EXPECT_THAT(Starts(), ElementsAre("1 a.0"));
}

TEST_F(Decide, AnEarlierJobMakesRoomWhereItCanGoElsewhere) {
  AddJob(1, {.data = DataName::kMnist});
  AddJob(2, {.data = DataName::kCifar10});
  AddWorker("a", 2, 2, Device::kCpu, std::set{DataName::kMnist});
  AddWorker("b", 3, 3, Device::kCpu, std::set{DataName::kMnist, DataName::kCifar10});
  AddJob(3, {.data = DataName::kCifar10});
  AddJob(4, {.data = DataName::kCifar10});
  EXPECT_THAT(Starts(), ElementsAre("1 a.0", "2 b.0", "3 b.1", "4 b.2"));
}

TEST_F(Decide, SaysThatOnlySuspectSlotsFit) {
  AddJob(1);
  Offer offer;
  offer.suspect[static_cast<size_t>(Device::kCpu)] = 1;
  offers_.Put(W("a"), offer);
  EXPECT_THAT(Starts(), IsEmpty());
  EXPECT_EQ(ReasonOf({}), WaitReason::kSuspect);
}

TEST_F(Decide, SaysThatTheWorkersThatFitCannotBeReached) {
  AddJob(1);
  Offer offer;
  offer.away[static_cast<size_t>(Device::kCpu)] = 1;
  offers_.Put(W("a"), offer);
  EXPECT_THAT(Starts(), IsEmpty());
  EXPECT_EQ(ReasonOf({}), WaitReason::kNoWorker);
}

TEST_F(Decide, LooksAtNoJobBehindTheFirstOfAClass) {
  for (int job = 1; job <= 10'000; ++job) AddJob(job, {.data = DataName(job % 3)});
  AddWorker("a", 64, 0);
  EXPECT_LT(Run().work, 100);
}

}  // namespace
}  // namespace bsnn::policy
