#include "base/retry.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace bsnn::base {

bool IsRetryable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

Backoff::Backoff(BackoffOptions options, RandomBits bits)
    : options_(options), bits_(std::move(bits)), wait_(options.first) {
  BSNN_CHECK(options.first > absl::ZeroDuration() && options.max >= options.first);
}

absl::Duration Backoff::Next() {
  const absl::Duration whole = wait_;
  wait_ = std::min(2 * wait_, options_.max);
  ++tries_;
  const double share = static_cast<double>(bits_() >> 11) / static_cast<double>(uint64_t{1} << 53);
  return whole - share * whole / 2;
}

void Backoff::Reset() {
  wait_ = options_.first;
  tries_ = 0;
}

}  // namespace bsnn::base
