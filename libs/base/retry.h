/// Waiting between tries: exponential back-off with jitter, and what is worth a retry.
///
/// The one place that knows how to retry; callers own the loop, the limit and the clock.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "base/ids.h"

namespace bsnn::base {

/// Whether trying the same call again may help: Unavailable, Aborted and DeadlineExceeded. A call
/// retried for DeadlineExceeded must be idempotent. ResourceExhausted is a limit, and final.
bool IsRetryable(const absl::Status& status);

struct BackoffOptions {
  absl::Duration first = absl::Milliseconds(100);  ///< above zero
  absl::Duration max = absl::Seconds(5);           ///< at least `first`
};

/// Gives growing waits: `first`, then twice as long each time up to `max`, each cut by up to a half
/// at random, so that many callers do not come back together. Thread-compatible.
class Backoff {
 public:
  Backoff(BackoffOptions options, RandomBits bits);

  /// The wait before the next try.
  absl::Duration Next();
  /// After a success: the next wait is `first` again.
  void Reset();
  /// Waits given since the start or the last Reset.
  int tries() const { return tries_; }

 private:
  BackoffOptions options_;
  RandomBits bits_;
  absl::Duration wait_;
  int tries_ = 0;
};

}  // namespace bsnn::base
