/// Offers a worker only checkpoints whose stored bytes still match their digests.
///
/// The first order to run an attempt is held back until its checkpoints have been read and verified
/// on the disk pool; those that do not match are left out of it. An attempt that its worker already
/// reports is never held back, for an order that is missing means "kill it".
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "server/api/backend.h"

namespace bsnn::api {

/// Thread-safe. Its tasks hold a reference to it: the disk pool is closed before it is destroyed.
class OrderVerifier {
 public:
  /// Changes the orders of `reply` as said above; `reported` are the attempts the worker has. True
  /// where an order is held back: the worker should call again soon.
  bool Apply(Backend& backend, const std::vector<scheduler::AttemptReport>& reported,
             scheduler::SynchronizeReply& reply);

 private:
  using AttemptKey = std::pair<base::JobId, int32_t>;  ///< job and attempt epoch
  using Checkpoints = std::vector<base::CheckpointId>;
  struct Verdict {
    bool done = false;
    std::set<base::CheckpointId> bad;
  };

  /// Nothing while the verdict is open.
  bool TryFilter(Backend& backend, scheduler::AttemptOrder& order);
  void Verify(Backend& backend, const AttemptKey& attempt, const Checkpoints& checkpoints);

  absl::Mutex mutex_;
  std::map<AttemptKey, Verdict> verdicts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::api
