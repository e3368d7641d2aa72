/// Wakes the streams that follow a job when the job has changed and the change is durable.
///
/// Thread-safe. The scheduler reports changes to it; listeners are woken on the store's writer
/// thread (or the caller's, where the change is durable already), without a lock, and read anew.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <atomic>
#include <map>
#include <memory>
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
  explicit ChangeHub(store::JobStore& store) : store_(store) {}

  void OnChanges(store::Ticket ticket, const std::vector<scheduler::JobChange>& changes) override;

  void Subscribe(const base::JobId& job, const std::shared_ptr<Listener>& listener);
  void Unsubscribe(const base::JobId& job, const Listener* listener);

  /// Wakes everyone; streams that ask closing() then end. For shutting down.
  void Close();
  bool closing() const { return closing_; }

 private:
  using Listeners = std::vector<std::shared_ptr<Listener>>;

  void WakeFollowers(const std::vector<base::JobId>& jobs);

  store::JobStore& store_;
  std::atomic<bool> closing_ = false;
  absl::Mutex mutex_;
  std::map<base::JobId, Listeners> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::api
