/// Who waits for which ticket: the part of a JobStore that its adapters share.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <map>
#include <vector>

#include "server/store/job_store.h"

namespace bsnn::store {

/// Thread-safe. Callbacks run without its lock.
class Durability {
 public:
  Ticket durable() const;
  /// Runs `callback` now where `ticket` is durable, else in the Advance that makes it so.
  void When(Ticket ticket, JobStore::DurableCallback callback);
  /// Everything up to `ticket` is durable: runs what waited for it, in the order of the tickets.
  void Advance(Ticket ticket);
  /// Forgets who waits: what they wait for will never be.
  void Drop();

 private:
  mutable absl::Mutex mutex_;
  Ticket durable_ ABSL_GUARDED_BY(mutex_) = 0;
  std::multimap<Ticket, JobStore::DurableCallback> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::store
