// Workers, users, a network and a coordinator, all of which fail, drawn from one seed. Whatever
// happens: what was acknowledged stays, a job ends once and with the result of its live attempt, no
// two attempts share a job or a slot, epochs grow, and when the trouble is over every job ends.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/model_user.h"
#include "tests/simulation/model_worker.h"

namespace bsnn::simulation {
namespace {

constexpr int kTroubledSteps = 500;
constexpr int kCalmStepsMax = 6000;

/// One run of a seed.
class SeedRun {
 public:
  explicit SeedRun(uint64_t seed) : world_(seed) {
    const int64_t workers = world_.Uniform(1, world_.Chance(0.04) ? 50 : 5);
    const int64_t users = world_.Uniform(1, world_.Chance(0.1) ? 30 : 6);
    for (int i = 0; i < workers; ++i) {
      workers_.push_back(std::make_unique<ModelWorker>(world_, i));
    }
    // In calm every job ends, so somebody must be able to run it.
    if (std::ranges::none_of(workers_, [](const auto& worker) { return worker->IsGood(); })) {
      do {
        workers_.back() = std::make_unique<ModelWorker>(world_, static_cast<int>(workers - 1));
      } while (!workers_.back()->IsGood());
    }
    for (int i = 0; i < users; ++i) users_.push_back(std::make_unique<ModelUser>(world_, i));
  }

  /// The trouble, then calm until every job has ended. Faults are in the ledger.
  void Play() {
    for (int i = 0; i < kTroubledSteps; ++i) {
      Step();
      if (i % 50 == 0) Check();
    }
    world_.Calm();
    for (const auto& worker : workers_) worker->EndDrain();
    int calm_steps = 0;
    while (!IsOver() && ++calm_steps < kCalmStepsMax) Step();
    if (!IsOver()) world_.ledger().Fault("jobs or attempts are left after a long calm");
    Check();
  }

  const std::vector<std::string>& faults() { return world_.ledger().faults(); }
  const Causes& causes() { return world_.causes(); }

 private:
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

/// Seeds to play: BSNN_SEEDS is "FIRST..LAST", or one seed, whose story is then told.
std::pair<uint64_t, uint64_t> SeedsToPlay() {
  constexpr std::pair<uint64_t, uint64_t> kDefault = {1, 1000};
  const char* const text = std::getenv("BSNN_SEEDS");
  if (text == nullptr) return kDefault;
  const std::string seeds(text);
  const size_t dots = seeds.find("..");
  if (dots == std::string::npos) return {std::stoull(seeds), std::stoull(seeds)};
  return {std::stoull(seeds.substr(0, dots)), std::stoull(seeds.substr(dots + 2))};
}

std::string TextOf(const std::deque<std::string>& story) {
  std::string text;
  for (const std::string& line : story) text += "  " + line + "\n";
  return text;
}

/// Whether the seed's run was right.
bool Play(uint64_t seed, bool tell) {
  SeedRun run(seed);
  run.Play();
  EXPECT_THAT(run.faults(), testing::IsEmpty())
      << "seed " << seed << " (BSNN_SEEDS=" << seed << " plays it alone); the end of its story:\n"
      << TextOf(run.causes().story());
  if (tell) fmt::print("the end of seed {}:\n{}", seed, TextOf(run.causes().story()));
  return run.faults().empty();
}

TEST(Simulation, KeepsItsPromises) {
  const auto [first, last] = SeedsToPlay();
  for (uint64_t seed = first; seed <= last; ++seed) {
    if (!Play(seed, first == last)) fmt::print("failed seed: {}\n", seed);  // night reads this
  }
}

TEST(Simulation, KeepsItsPromisesWhereItOnceDidNot) {
  std::ifstream file(BSNN_KEPT_SEEDS);
  ASSERT_TRUE(file.is_open());
  std::string line;
  while (std::getline(file, line)) {
    if (!line.empty() && line[0] != '#') Play(std::stoull(line), /*tell=*/false);
  }
}

TEST(Simulation, IsTheSameTwice) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SeedRun one(seed);
    SeedRun two(seed);
    one.Play();
    two.Play();
    EXPECT_EQ(one.causes().hash(), two.causes().hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace bsnn::simulation
