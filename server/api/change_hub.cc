#include "server/api/change_hub.h"

#include <algorithm>
#include <utility>

namespace bsnn::api {

void ChangeHub::OnChanges(store::Ticket ticket, const std::vector<scheduler::JobChange>& changes) {
  std::vector<base::JobId> jobs;
  jobs.reserve(changes.size());
  for (const auto& change : changes) jobs.push_back(change.job);
  // Asked for at durability, not now: who subscribes in between reads a history without it.
  store_.WhenDurable(ticket, [this, jobs = std::move(jobs)] { WakeFollowers(jobs); });
}

void ChangeHub::Subscribe(const base::JobId& job, const std::shared_ptr<Listener>& listener) {
  absl::MutexLock lock(&mutex_);
  listeners_[job].push_back(listener);
}

void ChangeHub::Unsubscribe(const base::JobId& job, const Listener* listener) {
  absl::MutexLock lock(&mutex_);
  const auto found = listeners_.find(job);
  if (found == listeners_.end()) return;
  std::erase_if(found->second, [&](const auto& item) { return item.get() == listener; });
  if (found->second.empty()) listeners_.erase(found);
}

void ChangeHub::Close() {
  closing_ = true;
  Listeners woken;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [job, listeners] : listeners_) {
      woken.insert(woken.end(), listeners.begin(), listeners.end());
    }
  }
  for (const auto& listener : woken) listener->Wake();
}

void ChangeHub::WakeFollowers(const std::vector<base::JobId>& jobs) {
  Listeners woken;
  {
    absl::MutexLock lock(&mutex_);
    if (listeners_.empty()) return;
    for (const base::JobId& job : jobs) {
      const auto found = listeners_.find(job);
      if (found == listeners_.end()) continue;
      woken.insert(woken.end(), found->second.begin(), found->second.end());
    }
  }
  for (const auto& listener : woken) listener->Wake();
}

}  // namespace bsnn::api
