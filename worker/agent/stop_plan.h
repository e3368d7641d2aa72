/// Ending a trainer in two steps: ask, and after a grace kill. Time is passed in.
/// Thread-compatible.
#pragma once

#include <absl/time/time.h>

#include <optional>

namespace bsnn::agent {

class StopPlan {
 public:
  enum class Step { kNone, kAsk, kKill };

  /// Ask now and kill at `now` + `grace`. A later request can only bring the kill forward.
  void Stop(absl::Duration now, absl::Duration grace);
  /// Kill now; no asking.
  void Kill(absl::Duration now);

  /// What to do now. Each step is given once.
  Step Next(absl::Duration now);

  bool stopping() const { return kill_at_.has_value(); }
  /// Whether the kill step has been given.
  bool killed() const { return killed_; }
  /// The grace of the last request that counted.
  absl::Duration grace() const { return grace_; }

 private:
  std::optional<absl::Duration> kill_at_;
  absl::Duration grace_;
  bool asked_ = false;
  bool killed_ = false;
};

}  // namespace bsnn::agent
