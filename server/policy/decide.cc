#include "server/policy/decide.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace bsnn::policy {
namespace {

using spec::Device;

static_assert(static_cast<int>(Device::kAny) == 0 && static_cast<int>(Device::kCpu) == 1 &&
              static_cast<int>(Device::kCuda) == 2);
size_t IndexOf(Device device) { return static_cast<size_t>(device); }

/// Exchanges end after so many looks a pass; a place that only an exchange could fill then stays
/// free until the next pass.
constexpr int64_t kExchangeWorkMax = 200'000;

/// A class of jobs, those with equal needs, in this pass.
struct Class {
  const Needs* needs = nullptr;
  const absl::btree_set<Want, InOrder>* jobs = nullptr;
  absl::btree_set<Want, InOrder>::const_iterator next;  ///< the first job that has not been decided
  bool may_use_avoided = false;                         ///< no other worker could run it
  bool has_no_cuda = false;  ///< no CUDA slot can be had for it in this pass

  bool Admits(const base::WorkerId& worker) const {
    return may_use_avoided || !needs->avoid.contains(worker);
  }
};

/// A job that gets a place in this pass. Its slot's number is chosen last.
struct Draft {
  int64_t job = 0;
  const Class* of = nullptr;
  const base::WorkerId* worker = nullptr;
  Device device = Device::kAny;
};

/// The places of one device and the drafts on them. Jobs and places are matched job by job, as in
/// Kuhn's algorithm: where no free place fits a job, drafts move to other places that fit them, if
/// that frees one for the job. A draft stays on its device.
class Places {
 public:
  Places(const Offers& offers, Device device, std::vector<Draft>& drafts, int64_t& work)
      : offers_(offers),
        device_(device),
        left_(offers.free_slots(device)),
        drafts_(drafts),
        work_(work) {}

  /// Drafts the next job of the class; false: none of the class can have a place any more.
  bool Add(const Class& of) {
    if (left_ == 0) return false;
    const base::WorkerId* worker = TakeFree(of);
    if (worker == nullptr) worker = TakeByExchange(of);
    if (worker == nullptr) return false;
    drafts_.push_back({of.next->job, &of, worker, device_});
    on_worker_[worker].push_back(drafts_.size() - 1);
    --left_;
    return true;
  }

  /// Whether a place is left that has the data set: a place that the class avoids.
  bool HasFree(const Class& of) const {
    if (left_ == 0) return false;
    for (const auto& [key, group] : offers_.groups()) {
      ++work_;
      if (group.HasData(of.needs->data) && !FreeOf(group).empty()) return true;
    }
    return false;
  }

 private:
  using Group = Offers::Group;
  using Free = std::set<std::pair<int, base::WorkerId>>;
  static constexpr size_t kNewJob = SIZE_MAX;

  const Free& FreeOf(const Group& group) const {
    const auto changed = changed_.find(&group);
    return changed == changed_.end() ? group.free[IndexOf(device_)] : changed->second;
  }

  /// Takes a free place that fits; gives its worker, or null.
  const base::WorkerId* TakeFree(const Class& of) {
    const Group* best_group = nullptr;
    const std::pair<int, base::WorkerId>* best = nullptr;
    for (const auto& [key, group] : offers_.groups()) {
      ++work_;
      if (!group.HasData(of.needs->data)) continue;
      for (const auto& candidate : FreeOf(group)) {
        ++work_;
        if (!of.Admits(candidate.second)) continue;
        if (best == nullptr || candidate < *best) {
          best_group = &group;
          best = &candidate;
        }
        break;
      }
    }
    return best == nullptr ? nullptr : Take(*best_group, *best);
  }

  const base::WorkerId* Take(const Group& group, std::pair<int, base::WorkerId> place) {
    const auto [changed, is_new] = changed_.try_emplace(&group);
    if (is_new) {
      changed->second = group.free[IndexOf(device_)];
      work_ += std::ssize(changed->second);
    }
    changed->second.erase(place);
    if (place.first < -1) changed->second.emplace(place.first + 1, place.second);
    return &*group.workers[IndexOf(device_)].find(place.second);
  }

  /// Moves drafts until a place that fits is free; gives its worker, or null.
  const base::WorkerId* TakeByExchange(const Class& of) {
    // Breadth first: who could use which worker's places, were its drafts elsewhere.
    std::unordered_map<const base::WorkerId*, size_t> wanted_by;  // a draft, or kNewJob
    std::unordered_set<const Class*> seen = {&of};
    std::vector<size_t> next = {kNewJob};
    for (size_t i = 0; i < next.size(); ++i) {
      const Class& mover = next[i] == kNewJob ? of : *drafts_[next[i]].of;
      for (const auto& [key, group] : offers_.groups()) {
        if (!group.HasData(mover.needs->data)) continue;
        for (const base::WorkerId& worker : group.workers[IndexOf(device_)]) {
          if (++exchange_work_ > kExchangeWorkMax) return nullptr;
          if (!mover.Admits(worker) || !wanted_by.try_emplace(&worker, next[i]).second) continue;
          if (const int count = CountFree(worker); count > 0) {
            Take(group, {-count, worker});
            return MoveTo(&worker, wanted_by);
          }
          const auto drafts = on_worker_.find(&worker);
          if (drafts == on_worker_.end()) continue;
          for (const size_t draft : drafts->second) {
            if (seen.insert(drafts_[draft].of).second) next.push_back(draft);
          }
        }
      }
    }
    return nullptr;
  }

  int CountFree(const base::WorkerId& worker) const {
    const auto drafts = on_worker_.find(&worker);
    const auto taken = drafts == on_worker_.end() ? 0 : std::ssize(drafts->second);
    return static_cast<int>(std::ssize(offers_.FindOffer(worker)->free[IndexOf(device_)]) - taken);
  }

  /// Moves the drafts that want `worker` and what they leave; gives what is left to the new job.
  const base::WorkerId* MoveTo(const base::WorkerId* worker,
                               const std::unordered_map<const base::WorkerId*, size_t>& wanted_by) {
    while (wanted_by.at(worker) != kNewJob) {
      const size_t draft = wanted_by.at(worker);
      const base::WorkerId* const from = drafts_[draft].worker;
      std::erase(on_worker_[from], draft);
      on_worker_[worker].push_back(draft);
      drafts_[draft].worker = worker;
      worker = from;
    }
    return worker;
  }

  const Offers& offers_;
  const Device device_;
  int left_;
  std::vector<Draft>& drafts_;
  int64_t& work_;
  int64_t exchange_work_ = 0;
  std::unordered_map<const Group*, Free> changed_;
  std::unordered_map<const base::WorkerId*, std::vector<size_t>> on_worker_;  // into drafts_
};

/// Whether a worker that did not fail the job could run it, be it busy.
bool HasOtherThanAvoided(const Offers& offers, const Needs& needs, int64_t& work) {
  for (const auto& [key, group] : offers.groups()) {
    ++work;
    if (!group.HasData(needs.data)) continue;
    for (const Device device : {Device::kCuda, Device::kCpu}) {
      if (needs.device != Device::kAny && needs.device != device) continue;
      for (const base::WorkerId& worker : group.workers[IndexOf(device)]) {
        ++work;
        if (!needs.avoid.contains(worker)) return true;
      }
    }
  }
  return false;
}

struct HasLaterJob {
  bool operator()(const Class* a, const Class* b) const { return b->next->GoesBefore(*a->next); }
};

class Pass {
 public:
  explicit Pass(const View& view) : view_(view) {}

  Plan Run() {
    std::vector<Class> classes;
    classes.reserve(view_.wants.queues().size());
    for (const auto& [needs, queue] : view_.wants.queues()) {
      ++plan_.work;
      const bool may_use_avoided =
          needs.avoid.empty() || !HasOtherThanAvoided(view_.offers, needs, plan_.work);
      classes.push_back({&needs, &queue.jobs, queue.jobs.begin(), may_use_avoided});
    }
    std::priority_queue<Class*, std::vector<Class*>, HasLaterJob> heads;
    for (Class& of : classes) heads.push(&of);
    while (!heads.empty()) {
      Class& of = *heads.top();
      heads.pop();
      ++plan_.work;
      if (Draft(of) && ++of.next != of.jobs->end()) heads.push(&of);
    }
    for (const Class& of : classes) {
      if (of.next == of.jobs->end()) continue;
      plan_.reasons.emplace_hint(plan_.reasons.end(), *of.needs, ReasonOf(of));
    }
    GiveSlots();
    return std::move(plan_);
  }

 private:
  bool Draft(Class& of) {
    const Device wanted = of.needs->device;
    if (wanted != Device::kCpu && !of.has_no_cuda) {
      if (cuda_.Add(of)) return true;
      of.has_no_cuda = true;
    }
    return wanted != Device::kCuda && cpu_.Add(of);
  }

  WaitReason ReasonOf(const Class& of) {
    const Needs& needs = *of.needs;
    bool has_device = false;
    bool has_data = false;
    bool is_suspect = false;
    bool is_open = false;
    for (const auto& [key, group] : view_.offers.groups()) {
      ++plan_.work;
      for (const Device on : {Device::kCuda, Device::kCpu}) {
        if (needs.device != Device::kAny && needs.device != on) continue;
        const auto device = IndexOf(on);
        const bool open = !group.workers[device].empty();
        if (!open && group.suspect[device] == 0 && group.away[device] == 0) continue;
        has_device = true;
        if (!group.HasData(needs.data)) continue;
        has_data = true;
        is_suspect |= group.suspect[device] > 0;
        is_open |= open;
      }
    }
    if (!has_device) return WaitReason::kNoSuchDevice;
    if (!has_data) return WaitReason::kNoData;
    if (!is_open) return is_suspect ? WaitReason::kSuspect : WaitReason::kNoWorker;
    if (of.may_use_avoided) return WaitReason::kBusy;
    const bool is_free = (needs.device != Device::kCpu && cuda_.HasFree(of)) ||
                         (needs.device != Device::kCuda && cpu_.HasFree(of));
    return is_free ? WaitReason::kAvoidsWorkers : WaitReason::kBusy;
  }

  /// Slots of a worker go out in the order of their numbers.
  void GiveSlots() {
    std::array<std::unordered_map<const base::WorkerId*, std::set<int32_t>::const_iterator>,
               kDevices>
        next;
    for (const policy::Draft& draft : drafts_) {
      const auto device = IndexOf(draft.device);
      const auto [slot, is_new] = next[device].try_emplace(draft.worker);
      if (is_new) slot->second = view_.offers.FindOffer(*draft.worker)->free[device].begin();
      plan_.starts.push_back({draft.job, *draft.worker, *slot->second++});
    }
  }

  const View& view_;
  Plan plan_;
  std::vector<policy::Draft> drafts_;
  Places cuda_{view_.offers, Device::kCuda, drafts_, plan_.work};
  Places cpu_{view_.offers, Device::kCpu, drafts_, plan_.work};
};

}  // namespace

Plan Decide(const View& view) { return Pass(view).Run(); }

}  // namespace bsnn::policy
