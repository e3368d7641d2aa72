/// A clock that stands still until it is told to move.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace bsnn::test {

/// Thread-safe.
class FakeClock final : public base::Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'700'000'000) + Passed(); }
  absl::Duration Steady() const override { return absl::Seconds(1000) + Passed(); }
  void Advance(absl::Duration duration) { passed_ns_ += absl::ToInt64Nanoseconds(duration); }

 private:
  absl::Duration Passed() const { return absl::Nanoseconds(passed_ns_.load()); }

  std::atomic<int64_t> passed_ns_ = 0;
};

}  // namespace bsnn::test
