/// Wakes the streams that follow a job when the job has changed and the change is durable.
///
/// Thread-safe. The scheduler reports changes to it; listeners are woken on the store's writer
/// thread (or the caller's, where the change is durable already), without a lock, and read anew.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "server/scheduler/types.h"

namespace bsnn::api {

/// Something that follows a job.
class Listener {
 public:
  virtual ~Listener() = default;
  /// There may be something new. Bounded work, never waits; may come after Unsubscribe.
  virtual void Wake() = 0;
};

class ChangeHub : public scheduler::Observer {
 public:
  /// Borrows the store, which must call back no more once the hub is gone.
  /// `on_end`, where set, is told of jobs of which an attempt, or the job, has ended, once that is
  /// durable: bounded work, never waits.
  explicit ChangeHub(store::JobStore& store,
                     std::function<void(const base::JobId&)> on_end = nullptr)
      : store_(store), on_end_(std::move(on_end)) {}

  void OnChanges(store::Ticket ticket, const std::vector<scheduler::JobChange>& changes) override;

  void Subscribe(const base::JobId& job, const std::shared_ptr<Listener>& listener);
  void Unsubscribe(const base::JobId& job, const Listener* listener);

  /// Wakes the job's followers once, the next time that the queue has moved: places of queued jobs
  /// change with other jobs.
  void WakeWhenQueueMoves(const base::JobId& job);
  /// Does so, at most every kQueueNewsEvery. Call now and then; `now` is steady.
  void Tick(absl::Duration now);
  static constexpr absl::Duration kQueueNewsEvery = absl::Seconds(1);

  /// Wakes everyone; streams that ask closing() then end. For shutting down.
  void Close();
  bool closing() const { return closing_; }

 private:
  using Listeners = std::vector<std::shared_ptr<Listener>>;

  void WakeFollowers(const std::vector<base::JobId>& jobs);

  store::JobStore& store_;
  const std::function<void(const base::JobId&)> on_end_;
  std::atomic<bool> closing_ = false;
  absl::Mutex mutex_;
  std::map<base::JobId, Listeners> listeners_ ABSL_GUARDED_BY(mutex_);
  std::set<base::JobId> queued_ ABSL_GUARDED_BY(mutex_);  // of WakeWhenQueueMoves
  bool queue_moved_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration queue_news_at_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
};

}  // namespace bsnn::api
