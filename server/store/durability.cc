#include "server/store/durability.h"

#include <algorithm>
#include <utility>

namespace bsnn::store {

Ticket Durability::durable() const {
  absl::MutexLock lock(&mutex_);
  return durable_;
}

void Durability::When(Ticket ticket, JobStore::DurableCallback callback) {
  {
    absl::MutexLock lock(&mutex_);
    if (ticket > durable_) {
      waiting_.emplace(ticket, std::move(callback));
      return;
    }
  }
  callback();
}

void Durability::Advance(Ticket ticket) {
  std::vector<JobStore::DurableCallback> due;
  {
    absl::MutexLock lock(&mutex_);
    durable_ = std::max(durable_, ticket);
    const auto end = waiting_.upper_bound(ticket);
    for (auto item = waiting_.begin(); item != end; ++item) due.push_back(std::move(item->second));
    waiting_.erase(waiting_.begin(), end);
  }
  for (const auto& callback : due) callback();
}

void Durability::Drop() {
  absl::MutexLock lock(&mutex_);
  waiting_.clear();
}

}  // namespace bsnn::store
