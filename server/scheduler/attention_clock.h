/// Steady time, less what this program slept through.
///
/// Leases, limits and graces run in it, so that nobody is judged for silence that could not have
/// been heard: a program that was stopped, swapped out or migrated finds that little time has
/// passed.
#pragma once

#include <absl/time/time.h>

#include <algorithm>

namespace bsnn::scheduler {

/// Thread-compatible. To be looked at several times a second: kBlink is all that passes between two
/// looks.
class AttentionClock {
 public:
  static constexpr absl::Duration kBlink = absl::Seconds(1);

  absl::Duration Look(absl::Duration steady) {
    if (!started_) last_ = steady;
    started_ = true;
    time_ += std::clamp(steady - last_, absl::ZeroDuration(), kBlink);
    last_ = std::max(last_, steady);
    return time_;
  }
  /// The steady time at which it would show `time`, were it looked at all the while.
  absl::Duration ToSteady(absl::Duration time) const { return last_ + (time - time_); }

 private:
  bool started_ = false;
  absl::Duration last_;
  absl::Duration time_;
};

}  // namespace bsnn::scheduler
