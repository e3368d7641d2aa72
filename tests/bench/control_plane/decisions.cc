#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>
#include <vector>

#include "server/policy/decide.h"
#include "tests/bench/control_plane/figures.h"
#include "tests/bench/median.h"

namespace bsnn::bench {
namespace {

using policy::Needs;
using spec::DataName;
using spec::Device;

constexpr int kSlotsPerWorker = 8;

base::WorkerId WorkerOf(int number) {
  return *base::WorkerId::Make(fmt::format("host-{}", number));
}

/// Half of the workers have CUDA slots; a quarter each have all data sets, one, another, and say
/// nothing. `free_percent` of the slots are free.
policy::Offers MakeOffers(int slots, int free_percent, std::mt19937_64& random) {
  policy::Offers offers;
  for (int number = 0; number < slots / kSlotsPerWorker; ++number) {
    policy::Offer offer;
    const auto device = static_cast<size_t>(number % 2 == 0 ? Device::kCuda : Device::kCpu);
    offer.slots[device] = kSlotsPerWorker;
    for (int slot = 0; slot < kSlotsPerWorker; ++slot) {
      if (std::uniform_int_distribution(0, 99)(random) < free_percent) {
        offer.free[device].insert(slot);
      }
    }
    if (number % 4 == 0) offer.data = {DataName::kMnist, DataName::kCifar10, DataName::kGenerated};
    if (number % 4 == 1) offer.data = {DataName::kMnist};
    if (number % 4 == 2) offer.data = {DataName::kCifar10};
    offers.Put(WorkerOf(number), std::move(offer));
  }
  return offers;
}

struct Queue {
  int64_t jobs = 0;
  int avoid_percent = 0;      ///< of the jobs, those that avoid a worker or two of their own
  bool fits_nowhere = false;  ///< the data set is one that no worker has, the device CUDA
  int workers = 0;
};

void InsertWants(const Queue& queue, std::mt19937_64& random, policy::Wants& wants) {
  constexpr std::array kData = {DataName::kMnist, DataName::kCifar10, DataName::kGenerated};
  for (int64_t job = 1; job <= queue.jobs; ++job) {
    Needs needs;
    needs.device = static_cast<Device>(random() % 3);
    needs.data = kData[random() % kData.size()];
    if (queue.fits_nowhere) needs = {.device = Device::kCuda, .data = DataName::kDvsGesture};
    if (static_cast<int>(random() % 100) < queue.avoid_percent) {
      for (int i = 0; i < 2; ++i) {
        needs.avoid.insert(WorkerOf(static_cast<int>(random() % queue.workers)));
      }
    }
    wants.Put({static_cast<int32_t>(random() % 5), job}, needs, true);
  }
}

}  // namespace

void MeasureDecisions(const Setting& setting, Report& report) {
  const int scale = setting.quick ? 10 : 1;
  const int slots = 10'000 / scale;
  std::mt19937_64 random(1);
  struct Case {
    const char* what;
    Queue queue;
    int free_percent;
  };
  const int64_t jobs = 1'000'000 / scale;
  const int workers = slots / kSlotsPerWorker;
  const std::vector<Case> cases = {
      {"no free slot", {.jobs = jobs, .workers = workers}, 0},
      {"100 free slots", {.jobs = jobs, .workers = workers}, 1},
      {"all slots free", {.jobs = jobs, .workers = workers}, 100},
      {"all free, no job fits", {.jobs = jobs, .fits_nowhere = true, .workers = workers}, 100},
      {"100 free, 1 % of jobs avoid", {.jobs = jobs, .avoid_percent = 1, .workers = workers}, 1},
      {"all free, 1 % of jobs avoid", {.jobs = jobs, .avoid_percent = 1, .workers = workers}, 100},
  };
  for (const Case& item : cases) {
    const policy::Offers offers = MakeOffers(slots, item.free_percent, random);
    policy::Wants wants;
    InsertWants(item.queue, random, wants);
    std::vector<double> milliseconds;
    size_t starts = 0;
    for (int pass = 0; pass < 21; ++pass) {
      const absl::Time begin = absl::Now();
      const policy::Plan plan = policy::Decide({wants, offers});
      milliseconds.push_back(Milliseconds(absl::Now() - begin));
      starts = plan.starts.size();
    }
    const double longest = *std::max_element(milliseconds.begin(), milliseconds.end());
    report.AddAtMost(fmt::format("decision, {} jobs: {}", jobs, item.what), longest, 50, "ms",
                     fmt::format("the longest of {}; median {:.3g}; {} starts", milliseconds.size(),
                                 Median(milliseconds), starts));
  }
}

}  // namespace bsnn::bench
