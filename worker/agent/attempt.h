/// What a worker and its coordinator say about attempts, as plain values. No I/O.
#pragma once

#include <absl/time/time.h>

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "spec/job_spec.h"

namespace bsnn::agent {

/// One try to run a job; the epoch fences it from the tries before.
struct AttemptKey {
  base::JobId job = {};
  int32_t epoch = 0;
  auto operator<=>(const AttemptKey&) const = default;

  /// "mnist-7f3k2q9d.3": in logs, and the name of the attempt's folder.
  std::string ToText() const;
};

/// A place for one trainer.
struct Slot {
  int index = 0;
  std::string device = "cpu";  ///< "cpu" or "cuda"
  std::string description = {};
  int64_t memory_bytes = 0;  ///< of the device; 0 where it is not known
  /// What CUDA_VISIBLE_DEVICES must be to see just this device; "" hides all.
  std::string cuda_visible = {};
  bool operator==(const Slot&) const = default;
};

enum class Phase { kPreparing, kTraining, kStopping, kEnded };

/// What the worker says about an attempt each time it synchronises.
struct Report {
  AttemptKey key = {};
  Phase phase = Phase::kPreparing;
  int64_t events_pending = 0;
  int64_t upload_bytes_left = 0;  ///< of checkpoints that wait or are under way
  bool operator==(const Report&) const = default;
};

enum class Action { kRun, kStop };

/// What the coordinator wants of an attempt.
struct Order {
  AttemptKey key = {};
  Action action = Action::kRun;
  bool has_spec = true;     ///< false: the coordinator believes that this worker has the attempt
  spec::JobSpec spec = {};  ///< with kRun
  int slot = 0;             ///< with kRun
  std::vector<base::CheckpointId> checkpoints = {};  ///< with kRun; newest first
  absl::Duration grace = {};                         ///< with kStop
  /// Not empty: this worker cannot do it, and why (such as a spec of a newer version). The attempt
  /// is to end as failed with this text.
  std::string fault = {};
};

/// The orders of one reply.
struct Orders {
  std::vector<Order> orders = {};
  /// Attempts whose order cannot be read, as a newer coordinator's: they are left as they are.
  std::vector<AttemptKey> unreadable = {};
  bool names_all = true;  ///< false: there was an order whose attempt cannot be read either
};

}  // namespace bsnn::agent
