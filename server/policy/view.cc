#include "server/policy/view.h"

#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>
#include <utility>

namespace bsnn::policy {

struct Wants::Ranks {
  __gnu_pbds::tree<Want, __gnu_pbds::null_type, InOrder, __gnu_pbds::rb_tree_tag,
                   __gnu_pbds::tree_order_statistics_node_update>
      tree;
};

Wants::Wants() : ranks_(std::make_unique<Ranks>()) {}
Wants::~Wants() = default;

void Wants::Insert(const Want& want, const Needs& needs, bool queued) {
  const auto queue = queues_.try_emplace(needs).first;
  queue->second.insert(want);
  needs_[want.job] = {want, queue, queued};
  if (queued) ranks_->tree.insert(want);
}

void Wants::Erase(int64_t job) {
  const auto found = needs_.find(job);
  if (found == needs_.end()) return;
  const Entry& entry = found->second;
  if (entry.queued) ranks_->tree.erase(entry.want);
  entry.queue->second.erase(entry.want);
  if (entry.queue->second.empty()) queues_.erase(entry.queue);
  needs_.erase(found);
}

const Needs* Wants::FindNeeds(int64_t job) const {
  const auto found = needs_.find(job);
  return found == needs_.end() ? nullptr : &found->second.queue->first;
}

int64_t Wants::CountBefore(const Want& want) const {
  return static_cast<int64_t>(ranks_->tree.order_of_key(want));
}

void Offers::Put(const base::WorkerId& worker, Offer offer) {
  const auto held = offers_.find(worker);
  if (held != offers_.end() && held->second == offer) return;
  Erase(worker);
  Group& group = groups_[{offer.data, offer.missing_data}];
  group.data = offer.data;
  group.missing_data = offer.missing_data;
  ++group.members;
  for (size_t device = 0; device < kDevices; ++device) {
    const auto count = static_cast<int>(offer.free[device].size());
    free_[device] += count;
    if (count > 0) group.free[device].emplace(-count, worker);
    if (offer.slots[device] > 0) group.workers[device].insert(worker);
  }
  offers_[worker] = std::move(offer);
}

void Offers::Erase(const base::WorkerId& worker) {
  const auto found = offers_.find(worker);
  if (found == offers_.end()) return;
  const Offer& offer = found->second;
  const auto group = groups_.find({offer.data, offer.missing_data});
  for (size_t device = 0; device < kDevices; ++device) {
    const auto count = static_cast<int>(offer.free[device].size());
    free_[device] -= count;
    group->second.free[device].erase({-count, worker});
    group->second.workers[device].erase(worker);
  }
  if (--group->second.members == 0) groups_.erase(group);
  offers_.erase(found);
}

const Offer* Offers::FindOffer(const base::WorkerId& worker) const {
  const auto found = offers_.find(worker);
  return found == offers_.end() ? nullptr : &found->second;
}

}  // namespace bsnn::policy
