#include "server/commands/step_clock.h"

#include <algorithm>

namespace bsnn::commands {

void StepClock::Add(absl::Time time, int64_t step) {
  if (last_step_ >= 0 && step > last_step_ && time > last_time_) {
    steps_[count_++ % kKept] = (time - last_time_) / (step - last_step_);
  }
  last_time_ = time;
  last_step_ = step;
}

std::optional<absl::Duration> StepClock::MedianStep() const {
  if (count_ == 0) return std::nullopt;
  auto sorted = steps_;
  const auto end = sorted.begin() + static_cast<ptrdiff_t>(std::min(count_, kKept));
  const auto middle = sorted.begin() + (end - sorted.begin()) / 2;
  std::nth_element(sorted.begin(), middle, end);
  return *middle;
}

}  // namespace bsnn::commands
