#include "tests/server/policy/board.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace bsnn::policy {
namespace {

using spec::DataName;
using spec::Device;

int Draw(std::mt19937_64& random, int low, int high) {
  return std::uniform_int_distribution(low, high)(random);
}
bool Chance(std::mt19937_64& random, int percent) { return Draw(random, 1, 100) <= percent; }

base::WorkerId Name(int number) { return *base::WorkerId::Make(fmt::format("w{}", number)); }

size_t IndexOf(Device device) { return static_cast<size_t>(device); }

DataName DrawData(std::mt19937_64& random) { return static_cast<DataName>(Draw(random, 0, 2)); }

std::set<DataName> DrawDataSets(std::mt19937_64& random) {
  std::set<DataName> names;
  for (int i = Draw(random, 0, 3); i > 0; --i) names.insert(DrawData(random));
  return names;
}

Offer DrawOffer(std::mt19937_64& random, int slots) {
  Offer offer;
  const bool mixed = Chance(random, 30);
  Device device = Chance(random, 50) ? Device::kCpu : Device::kCuda;
  for (int slot = 0; slot < slots; ++slot) {
    if (mixed) device = Chance(random, 50) ? Device::kCpu : Device::kCuda;
    if (Chance(random, 10)) {
      ++(Chance(random, 50) ? offer.suspect : offer.away)[IndexOf(device)];
      continue;
    }
    ++offer.slots[IndexOf(device)];
    if (Chance(random, 70)) offer.free[IndexOf(device)].insert(slot);
  }
  if (Chance(random, 50)) offer.data = DrawDataSets(random);
  if (Chance(random, 20)) offer.missing_data = DrawDataSets(random);
  return offer;
}

/// Whether another worker than those the job avoids could run it, be it busy.
bool HasOther(const Board& board, const Needs& needs) {
  return std::any_of(board.workers.begin(), board.workers.end(), [&](const auto& item) {
    const auto& [id, offer] = item;
    if (needs.avoid.contains(id)) return false;
    return (offer.slots[IndexOf(Device::kCpu)] > 0 && Fits(board, needs, id, Device::kCpu)) ||
           (offer.slots[IndexOf(Device::kCuda)] > 0 && Fits(board, needs, id, Device::kCuda));
  });
}

bool MayStart(const Board& board, const Needs& needs, const base::WorkerId& worker, Device device) {
  if (!Fits(board, needs, worker, device)) return false;
  return !needs.avoid.contains(worker) || !HasOther(board, needs);
}

struct Place {
  base::WorkerId worker;
  int32_t slot = 0;
  Device device = Device::kAny;
};

std::vector<Place> FreePlaces(const Board& board) {
  std::vector<Place> places;
  for (const auto& [id, offer] : board.workers) {
    for (const Device device : {Device::kCpu, Device::kCuda}) {
      for (const int32_t slot : offer.free[IndexOf(device)]) places.push_back({id, slot, device});
    }
  }
  return places;
}

/// What a slot of `device` is worth to a job.
int ValueOf(const Needs& needs, Device device) {
  return needs.device == Device::kAny && device == Device::kCpu ? 1 : 2;
}

WaitReason TrueReason(const Board& board, const Needs& needs, const std::vector<Place>& left) {
  const auto any = [&](bool with_data, auto&& count) {
    for (const auto& [id, offer] : board.workers) {
      if (with_data && !offer.HasData(needs.data)) continue;
      for (const Device on : {Device::kCpu, Device::kCuda}) {
        if (needs.device != Device::kAny && needs.device != on) continue;
        if (count(offer, IndexOf(on)) > 0) return true;
      }
    }
    return false;
  };
  const auto all = [](const Offer& offer, size_t device) {
    return offer.slots[device] + offer.suspect[device] + offer.away[device];
  };
  if (!any(false, all)) return WaitReason::kNoSuchDevice;
  if (!any(true, all)) return WaitReason::kNoData;
  if (!any(true, [](const Offer& offer, size_t device) { return offer.slots[device]; })) {
    return any(true, [](const Offer& offer, size_t device) { return offer.suspect[device]; })
               ? WaitReason::kSuspect
               : WaitReason::kNoWorker;
  }
  const bool avoided_is_free = std::any_of(left.begin(), left.end(), [&](const Place& place) {
    return Fits(board, needs, place.worker, place.device);
  });
  return avoided_is_free ? WaitReason::kAvoidsWorkers : WaitReason::kBusy;
}

/// A start that is not allowed, in words. Takes the places of starts out of `free`.
std::string BrokenStart(const Board& board, const Plan& plan, const std::vector<JobOnBoard>& jobs,
                        std::vector<Place>& free, std::map<int64_t, Place>& taken) {
  for (const Start& start : plan.starts) {
    const auto job = std::find_if(jobs.begin(), jobs.end(),
                                  [&](const auto& item) { return item.want.job == start.job; });
    if (job == jobs.end()) return fmt::format("job {} does not wait", start.job);
    const auto place = std::find_if(free.begin(), free.end(), [&](const Place& item) {
      return item.worker == start.worker && item.slot == start.slot;
    });
    const std::string where =
        fmt::format("job {} on {}.{}", start.job, start.worker.value(), start.slot);
    if (place == free.end()) return where + ": the slot is not free";
    if (!MayStart(board, job->needs, start.worker, place->device)) return where + " does not fit";
    if (!taken.emplace(start.job, *place).second) return where + ": it has a slot already";
    free.erase(place);
  }
  return "";
}

}  // namespace

std::vector<JobOnBoard> Board::JobsInOrder() const {
  std::vector<JobOnBoard> sorted = jobs;
  std::sort(sorted.begin(), sorted.end(), [](const JobOnBoard& a, const JobOnBoard& b) {
    if (a.want.priority != b.want.priority) return a.want.priority > b.want.priority;
    return a.want.job < b.want.job;
  });
  return sorted;
}

Board RandomBoard(std::mt19937_64& random, const Size& size) {
  Board board;
  int slots_left = Draw(random, 0, size.slots);
  for (int i = Draw(random, 0, size.workers); i > 0 && slots_left > 0; --i) {
    const int slots = Draw(random, 0, std::min(slots_left, 4));
    slots_left -= slots;
    board.workers[Name(Draw(random, 0, 99))] = DrawOffer(random, slots);
  }
  const int jobs = Draw(random, 0, size.jobs);
  for (int i = 0; i < jobs; ++i) {
    JobOnBoard job;
    job.want = {Draw(random, -1, 1), i + 1};
    job.needs.device = static_cast<Device>(Draw(random, 0, 2));
    job.needs.data = DrawData(random);
    for (const auto& [id, offer] : board.workers) {
      if (Chance(random, 20)) job.needs.avoid.insert(id);
    }
    if (Chance(random, 5)) job.needs.avoid.insert(Name(100));  // it has gone
    job.queued = Chance(random, 80);
    board.jobs.push_back(std::move(job));
  }
  std::shuffle(board.jobs.begin(), board.jobs.end(), random);
  return board;
}

Board WithOtherNames(const Board& board, std::mt19937_64& random) {
  std::vector<int> numbers(200);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i);
  std::shuffle(numbers.begin(), numbers.end(), random);
  std::map<base::WorkerId, base::WorkerId> names;
  const auto other = [&](const base::WorkerId& id) {
    const auto [name, is_new] = names.try_emplace(id);
    if (is_new) {
      name->second = Name(numbers.back());
      numbers.pop_back();
    }
    return name->second;
  };
  Board renamed = board;
  renamed.workers.clear();
  for (const auto& [id, offer] : board.workers) renamed.workers[other(id)] = offer;
  for (JobOnBoard& job : renamed.jobs) {
    std::set<base::WorkerId> avoid;
    for (const base::WorkerId& id : job.needs.avoid) avoid.insert(other(id));
    job.needs.avoid = std::move(avoid);
  }
  return renamed;
}

std::string ToText(const Board& board) {
  std::string text;
  for (const auto& [id, offer] : board.workers) {
    text += fmt::format("worker {}: cpu {} of {} free, cuda {} of {} free, data", id.value(),
                        offer.free[1].size(), offer.slots[1], offer.free[2].size(), offer.slots[2]);
    for (int name = 0; name <= 2; ++name) {
      if (offer.HasData(static_cast<DataName>(name))) text += fmt::format(" {}", name);
    }
    text += '\n';
  }
  for (const JobOnBoard& job : board.JobsInOrder()) {
    text +=
        fmt::format("job {} of priority {}: {}, data {}, avoids", job.want.job, job.want.priority,
                    spec::ToWord(job.needs.device), static_cast<int>(job.needs.data));
    for (const base::WorkerId& id : job.needs.avoid) text += " " + id.value();
    text += '\n';
  }
  return text;
}

BoardView::BoardView(const Board& board, std::mt19937_64* detours) {
  const auto detour = [&] { return detours != nullptr && Chance(*detours, 50); };
  for (const JobOnBoard& job : board.jobs) {
    if (detour()) {
      wants_.Put(job.want, {.device = Device::kCuda, .data = DataName::kDvsGesture}, true);
      wants_.Erase(job.want.job);
    }
    wants_.Put(job.want, job.needs, job.queued);
  }
  for (const auto& [id, offer] : board.workers) {
    if (detour()) offers_.Put(id, DrawOffer(*detours, 4));
    if (detour()) offers_.Erase(id);
    offers_.Put(id, offer);
  }
  if (!detour()) return;
  offers_.Put(Name(150), DrawOffer(*detours, 4));
  offers_.Erase(Name(150));
  wants_.Put({0, 1000}, {.device = Device::kCpu}, true);
  wants_.Erase(1000);
}

bool Fits(const Board& board, const Needs& needs, const base::WorkerId& worker, Device device) {
  return (needs.device == Device::kAny || needs.device == device) &&
         board.workers.at(worker).HasData(needs.data);
}

Outcome OutcomeOf(const Board& board, const Plan& plan) {
  Outcome outcome;
  for (const JobOnBoard& job : board.jobs) outcome[job.want.job] = 0;
  for (const Start& start : plan.starts) {
    const bool is_cuda =
        board.workers.at(start.worker).free[IndexOf(Device::kCuda)].contains(start.slot);
    const auto job = std::find_if(board.jobs.begin(), board.jobs.end(),
                                  [&](const auto& item) { return item.want.job == start.job; });
    outcome[start.job] = ValueOf(job->needs, is_cuda ? Device::kCuda : Device::kCpu);
  }
  return outcome;
}

Outcome BestOutcome(const Board& board) {
  const std::vector<Place> places = FreePlaces(board);
  // Sets of slots that the jobs so far can fill, each with its best outcome.
  std::set<uint32_t> fillings = {0};
  Outcome outcome;
  for (const JobOnBoard& job : board.JobsInOrder()) {
    int best = 0;
    std::set<uint32_t> next = fillings;
    for (size_t i = 0; i < places.size(); ++i) {
      if (!MayStart(board, job.needs, places[i].worker, places[i].device)) continue;
      const int value = ValueOf(job.needs, places[i].device);
      if (value < best) continue;
      for (const uint32_t filling : fillings) {
        if ((filling >> i & 1) != 0) continue;
        if (value > best) next.clear();
        best = value;
        next.insert(filling | 1U << i);
      }
    }
    fillings = std::move(next);
    outcome[job.want.job] = best;
  }
  return outcome;
}

std::string BrokenLaw(const Board& board, const Plan& plan) {
  const std::vector<JobOnBoard> jobs = board.JobsInOrder();
  std::vector<Place> left = FreePlaces(board);
  std::map<int64_t, Place> taken;
  std::string broken = BrokenStart(board, plan, jobs, left, taken);
  if (!broken.empty()) return broken;
  std::map<Needs, WaitReason> reasons;
  for (const JobOnBoard& job : jobs) {
    const bool has_place = taken.contains(job.want.job);
    const int value = has_place ? ValueOf(job.needs, taken.at(job.want.job).device) : 0;
    for (const Place& place : left) {
      if (MayStart(board, job.needs, place.worker, place.device) &&
          ValueOf(job.needs, place.device) > value) {
        return fmt::format("job {} would be better on {}.{}, which is free", job.want.job,
                           place.worker.value(), place.slot);
      }
    }
    if (has_place) continue;
    reasons[job.needs] = TrueReason(board, job.needs, left);
    for (const JobOnBoard& later : jobs) {
      const auto place = taken.find(later.want.job);
      if (place != taken.end() && later.want.job != job.want.job &&
          job.want.GoesBefore(later.want) &&
          MayStart(board, job.needs, place->second.worker, place->second.device)) {
        return fmt::format("job {} has a slot that job {} waits for", later.want.job, job.want.job);
      }
    }
  }
  return reasons == plan.reasons ? "" : "a reason is missing, untrue, or of a class that waits not";
}

}  // namespace bsnn::policy
