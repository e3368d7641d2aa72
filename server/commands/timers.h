/// What becomes due when: at most one time for each key, so that setting a timer anew replaces it.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/ids.h"

namespace bsnn::commands {

struct TimerKey {
  enum class Kind {
    kBackOff,       ///< of a job: it may be placed again
    kAttempt,       ///< of a job: its live attempt has not started, stepped or stopped in time
    kDeadline,      ///< of a job: scheduling.deadline_seconds
    kWorkerSilent,  ///< of a worker: its lease
    kWorkerLost,    ///< of a worker: its attempts are given up
    kWorkerForget,  ///< of a worker: it leaves the list
    kProbe,         ///< of a worker: a place that was suspect may be tried again
  };
  Kind kind = Kind::kBackOff;
  int64_t job = 0;  ///< sequence
  base::WorkerId worker = {};
  auto operator<=>(const TimerKey&) const = default;
};

/// Thread-compatible. Each operation costs O(log n).
class Timers {
 public:
  /// InfiniteDuration clears it.
  void Set(const TimerKey& key, absl::Duration at);
  void Clear(const TimerKey& key) { Set(key, absl::InfiniteDuration()); }
  bool Has(const TimerKey& key) const { return times_.contains(key); }
  std::optional<absl::Duration> Find(const TimerKey& key) const;

  /// The earliest time; InfiniteDuration for none.
  absl::Duration Next() const;
  /// Removes and gives the earliest key that is due at `now`.
  std::optional<TimerKey> TakeDue(absl::Duration now);

 private:
  std::map<TimerKey, absl::Duration> times_;
  std::set<std::pair<absl::Duration, TimerKey>> order_;
};

}  // namespace bsnn::commands
