/// Time, injected. Logic takes `now` as a value; only composition roots and I/O hold a Clock.
#pragma once

#include <absl/time/time.h>

namespace bsnn::base {

/// Thread-safe. tests/support/fake_clock.h has one that stands still.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall time: for what people and other machines see. May jump.
  virtual absl::Time Now() const = 0;
  /// Time since some fixed moment, never going back: for leases, timeouts and rates.
  virtual absl::Duration Steady() const = 0;
};

/// The machine's clock. Lives as long as the program.
const Clock& RealClock();

}  // namespace bsnn::base
