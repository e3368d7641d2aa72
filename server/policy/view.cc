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

bool Wants::Put(const Want& want, const Needs& needs, bool queued) {
  const auto held = entries_.find(want.job);
  if (held != entries_.end()) {
    const Entry& entry = held->second;
    if (entry.want == want && entry.queue->first == needs && entry.queued == queued) return false;
    Erase(want.job);
  }
  const auto queue = queues_.try_emplace(needs).first;
  queue->second.jobs.insert(want);
  if (queued) {
    ++queue->second.queued;
    ranks_->tree.insert(want);
  }
  entries_[want.job] = {want, queue, queued};
  return true;
}

void Wants::Erase(int64_t job) {
  const auto found = entries_.find(job);
  if (found == entries_.end()) return;
  const auto [want, queue, queued] = found->second;
  queue->second.jobs.erase(want);
  if (queued) {
    --queue->second.queued;
    ranks_->tree.erase(want);
  }
  if (queue->second.jobs.empty()) queues_.erase(queue);
  entries_.erase(found);
}

const Needs* Wants::FindNeeds(int64_t job) const {
  const auto found = entries_.find(job);
  return found == entries_.end() ? nullptr : &found->second.queue->first;
}

int64_t Wants::CountBefore(const Want& want) const {
  return static_cast<int64_t>(ranks_->tree.order_of_key(want));
}

bool Offers::Put(const base::WorkerId& worker, Offer offer) {
  const auto held = offers_.find(worker);
  if (held != offers_.end() && held->second == offer) return false;
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
    group.suspect[device] += offer.suspect[device];
    group.away[device] += offer.away[device];
  }
  offers_[worker] = std::move(offer);
  return true;
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
    group->second.suspect[device] -= offer.suspect[device];
    group->second.away[device] -= offer.away[device];
  }
  if (--group->second.members == 0) groups_.erase(group);
  offers_.erase(found);
}

const Offer* Offers::FindOffer(const base::WorkerId& worker) const {
  const auto found = offers_.find(worker);
  return found == offers_.end() ? nullptr : &found->second;
}

}  // namespace bsnn::policy
