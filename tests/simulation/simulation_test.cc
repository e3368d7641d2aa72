// Workers, users, a network and a coordinator, all of which fail, drawn from one seed. Whatever
// happens: what was acknowledged stays, a job ends once and with the result of its live attempt, no
// two attempts share a job or a slot, epochs grow, and when the trouble is over every job ends.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/simulation/model_user.h"
#include "tests/simulation/model_worker.h"

namespace bsnn::simulation {
namespace {

constexpr int kUsers = 5;
constexpr int kWorkers = 3;
constexpr int kTroubledSteps = 500;
constexpr int kCalmStepsMax = 4000;

class Simulation : public testing::TestWithParam<uint64_t> {
 protected:
  Simulation() : world_(GetParam()) {
    for (int i = 0; i < kWorkers; ++i) {
      workers_.push_back(std::make_unique<ModelWorker>(world_, i));
    }
    for (int i = 0; i < kUsers; ++i) users_.push_back(std::make_unique<ModelUser>(world_, i));
  }

  void Step() {
    world_.Step();
    for (const auto& user : users_) user->Step();
    for (const auto& worker : workers_) worker->Step();
  }
  bool IsOver() {
    return std::ranges::all_of(users_, [](const auto& user) { return user->IsServed(); }) &&
           std::ranges::all_of(workers_, [](const auto& worker) { return worker->IsIdle(); });
  }
  void Check() {
    if (!world_.IsUp()) return;
    world_.ledger().CheckScheduler(world_.coordinator(), world_.now());
    world_.ledger().CheckMetrics(world_.coordinator(), world_.now(), world_.store());
  }

  World world_;
  std::vector<std::unique_ptr<ModelWorker>> workers_;
  std::vector<std::unique_ptr<ModelUser>> users_;
};

TEST_P(Simulation, KeepsItsPromises) {
  for (int i = 0; i < kTroubledSteps; ++i) {
    Step();
    if (i % 50 == 0) Check();
  }
  world_.Calm();
  int calm_steps = 0;
  while (!IsOver() && ++calm_steps < kCalmStepsMax) Step();
  EXPECT_TRUE(IsOver()) << "jobs or attempts are left " << calm_steps << " calm steps later";
  Check();
  EXPECT_THAT(world_.ledger().faults(), testing::IsEmpty()) << "seed " << GetParam();
}

INSTANTIATE_TEST_SUITE_P(Seeds, Simulation, testing::Range<uint64_t>(1, 401),
                         [](const auto& seed) { return fmt::format("{}", seed.param); });

}  // namespace
}  // namespace bsnn::simulation
