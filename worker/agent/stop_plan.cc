#include "worker/agent/stop_plan.h"

#include <algorithm>

namespace bsnn::agent {

void StopPlan::Stop(absl::Duration now, absl::Duration grace) {
  const absl::Duration kill_at = now + std::max(grace, absl::ZeroDuration());
  if (kill_at_ && *kill_at_ <= kill_at) return;
  kill_at_ = kill_at;
  grace_ = grace;
}

void StopPlan::Kill(absl::Duration now) {
  asked_ = true;
  Stop(now, absl::ZeroDuration());
}

StopPlan::Step StopPlan::Next(absl::Duration now) {
  if (!kill_at_ || killed_) return Step::kNone;
  if (!asked_) {
    asked_ = true;
    return Step::kAsk;
  }
  if (now < *kill_at_) return Step::kNone;
  killed_ = true;
  return Step::kKill;
}

}  // namespace bsnn::agent
