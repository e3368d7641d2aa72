#include "server/policy/decide.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <utility>

namespace bsnn::policy {
namespace {

using spec::Device;
using Free = std::set<std::pair<int, base::WorkerId>>;

size_t IndexOf(Device device) { return static_cast<size_t>(device); }

/// Devices that serve `wanted`, the better first.
std::vector<Device> DevicesFor(Device wanted) {
  if (wanted == Device::kAny) return {Device::kCuda, Device::kCpu};
  return {wanted};
}

/// The places of a view, less those that the plan has given out so far. Copies a group's index only
/// when a place of it is taken.
class Places {
 public:
  Places(const Offers& offers, int64_t& work) : offers_(offers), work_(work) {}

  /// Takes a place for `needs`, or gives nothing.
  std::optional<std::pair<base::WorkerId, int32_t>> Take(const Needs& needs) {
    const bool may_use_avoided = !HasOther(needs);
    for (const Device device : DevicesFor(needs.device)) {
      const Offers::Group* best_group = nullptr;
      std::pair<int, base::WorkerId> best;
      for (const auto& [key, group] : offers_.groups()) {
        ++work_;
        if (!group.HasData(needs.data)) continue;
        for (const auto& candidate : FreeOf(group, device)) {
          ++work_;
          if (!may_use_avoided && needs.avoid.contains(candidate.second)) continue;
          if (best_group == nullptr || candidate < best) {
            best_group = &group;
            best = candidate;
          }
          break;
        }
      }
      if (best_group != nullptr) return TakeFrom(*best_group, device, best);
    }
    return std::nullopt;
  }

  /// Whether any place is left.
  bool empty() const { return left_[IndexOf(Device::kCpu)] + left_[IndexOf(Device::kCuda)] == 0; }
  bool empty(Device wanted) const {
    return wanted == Device::kAny ? empty() : left_[IndexOf(wanted)] == 0;
  }

  WaitReason ReasonOf(const Needs& needs) const {
    bool device_is_offered = false;
    bool data_is_offered = false;
    for (const auto& [key, group] : offers_.groups()) {
      ++work_;
      for (const Device device : DevicesFor(needs.device)) {
        if (group.workers[IndexOf(device)].empty()) continue;
        device_is_offered = true;
        data_is_offered |= group.HasData(needs.data);
      }
    }
    if (!device_is_offered) return WaitReason::kNoWorker;
    if (!data_is_offered) return WaitReason::kNoData;
    return !empty(needs.device) && !needs.avoid.empty() ? WaitReason::kAvoidsWorkers
                                                        : WaitReason::kBusy;
  }

 private:
  /// Whether a worker that did not fail it could run it, busy or not.
  bool HasOther(const Needs& needs) const {
    for (const auto& [key, group] : offers_.groups()) {
      if (!group.HasData(needs.data)) continue;
      for (const Device device : DevicesFor(needs.device)) {
        for (const base::WorkerId& worker : group.workers[IndexOf(device)]) {
          ++work_;
          if (!needs.avoid.contains(worker)) return true;
        }
      }
    }
    return false;
  }

  const Free& FreeOf(const Offers::Group& group, Device device) const {
    const auto changed = changed_.find({&group, device});
    return changed == changed_.end() ? group.free[IndexOf(device)] : changed->second;
  }

  std::pair<base::WorkerId, int32_t> TakeFrom(const Offers::Group& group, Device device,
                                              const std::pair<int, base::WorkerId>& place) {
    const auto [changed, is_new] = changed_.try_emplace({&group, device});
    if (is_new) {
      changed->second = group.free[IndexOf(device)];
      work_ += std::ssize(changed->second);
    }
    changed->second.erase(place);
    if (place.first < -1) changed->second.emplace(place.first + 1, place.second);
    --left_[IndexOf(device)];
    // Slots go out in the order of their numbers.
    const auto& slots = offers_.FindOffer(place.second)->free[IndexOf(device)];
    auto slot = slots.begin();
    std::advance(slot, static_cast<int>(slots.size()) + place.first);
    return {place.second, *slot};
  }

  const Offers& offers_;
  int64_t& work_;
  std::map<std::pair<const Offers::Group*, Device>, Free> changed_;
  std::array<int, kDevices> left_{0, offers_.free_slots(Device::kCpu),
                                  offers_.free_slots(Device::kCuda)};
};

/// The first job of a class that has not been decided, among the classes.
struct Head {
  Wants::Queue::const_iterator next;
  const Wants::Queue* queue = nullptr;
  const Needs* needs = nullptr;
};
struct LaterHead {
  bool operator()(const Head& a, const Head& b) const { return b.next->GoesBefore(*a.next); }
};

}  // namespace

Plan Decide(const View& view) {
  static_assert(static_cast<int>(Device::kAny) == 0 && static_cast<int>(Device::kCpu) == 1 &&
                static_cast<int>(Device::kCuda) == 2);
  Plan plan;
  Places places(view.offers, plan.work);
  std::priority_queue<Head, std::vector<Head>, LaterHead> heads;
  for (const auto& [needs, queue] : view.wants.queues()) {
    ++plan.work;
    heads.push({queue.begin(), &queue, &needs});
  }
  while (!heads.empty()) {
    Head head = heads.top();
    heads.pop();
    ++plan.work;
    const auto place = places.empty(head.needs->device) ? std::nullopt : places.Take(*head.needs);
    if (!place) {
      plan.reasons[*head.needs] = places.ReasonOf(*head.needs);
      continue;
    }
    plan.starts.push_back({head.next->job, place->first, place->second});
    if (++head.next != head.queue->end()) heads.push(head);
  }
  return plan;
}

}  // namespace bsnn::policy
