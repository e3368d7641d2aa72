/// How long a job's steps usually take, from its progress reports: what a hang is measured by.
#pragma once

#include <absl/time/time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace bsnn::commands {

/// Thread-compatible.
class StepClock {
 public:
  /// A report of the trainer: `step` steps were done at its own time `time`.
  void Add(absl::Time time, int64_t step);
  /// Median over the newest reports; nothing before the second.
  std::optional<absl::Duration> MedianStep() const;

 private:
  static constexpr size_t kKept = 31;
  std::array<absl::Duration, kKept> steps_{};
  size_t count_ = 0;
  absl::Time last_time_;
  int64_t last_step_ = -1;
};

}  // namespace bsnn::commands
