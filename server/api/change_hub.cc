#include "server/api/change_hub.h"

#include <algorithm>
#include <utility>

namespace bsnn::api {

void ChangeHub::OnChanges(store::Ticket ticket, const std::vector<scheduler::JobChange>& changes) {
  std::vector<base::JobId> jobs;
  std::vector<base::JobId> ended;
  jobs.reserve(changes.size());
  for (const auto& change : changes) {
    jobs.push_back(change.job);
    // A new attempt means that the one before has ended.
    if (change.placed || change.ended || change.deleted) ended.push_back(change.job);
  }
  {
    absl::MutexLock lock(&mutex_);
    queue_moved_ = queue_moved_ || std::any_of(changes.begin(), changes.end(),
                                               [](const auto& change) { return change.status; });
  }
  // Asked for at durability, not now: who subscribes in between reads a history without it.
  store_.WhenDurable(ticket, [this, jobs = std::move(jobs), ended = std::move(ended)] {
    WakeFollowers(jobs);
    if (on_end_) std::for_each(ended.begin(), ended.end(), on_end_);
  });
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
  if (!found->second.empty()) return;
  listeners_.erase(found);
  queued_.erase(job);
}

void ChangeHub::WakeWhenQueueMoves(const base::JobId& job) {
  absl::MutexLock lock(&mutex_);
  if (listeners_.contains(job)) queued_.insert(job);
}

void ChangeHub::Tick(absl::Duration now) {
  std::vector<base::JobId> jobs;
  {
    absl::MutexLock lock(&mutex_);
    if (!queue_moved_ || queued_.empty() || now - queue_news_at_ < kQueueNewsEvery) return;
    queue_moved_ = false;
    queue_news_at_ = now;
    jobs.assign(queued_.begin(), queued_.end());
    queued_.clear();
  }
  WakeFollowers(jobs);
}

void ChangeHub::Close() {
  closing_ = true;
  std::vector<base::JobId> jobs;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [job, listeners] : listeners_) jobs.push_back(job);
  }
  WakeFollowers(jobs);
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
