/// What the API counts for /metrics. Thread-safe, without locks.
#pragma once

#include <absl/time/time.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace bsnn::api {

/// Durations in fixed buckets.
class DurationCounter {
 public:
  static constexpr std::array<double, 12> kBoundsSeconds = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5};

  void Add(absl::Duration duration) {
    const double seconds = absl::ToDoubleSeconds(duration);
    size_t bucket = 0;
    while (bucket < kBoundsSeconds.size() && seconds > kBoundsSeconds[bucket]) ++bucket;
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    nanoseconds_.fetch_add(absl::ToInt64Nanoseconds(duration), std::memory_order_relaxed);
  }
  int64_t count(size_t bucket) const { return counts_[bucket]; }
  double sum_seconds() const { return static_cast<double>(nanoseconds_) * 1e-9; }

 private:
  std::array<std::atomic<int64_t>, kBoundsSeconds.size() + 1> counts_{};
  std::atomic<int64_t> nanoseconds_ = 0;
};

struct ApiStats {
  std::atomic<int64_t> checkpoint_read_bytes = 0;
  std::atomic<int64_t> checkpoint_write_bytes = 0;
  std::atomic<int64_t> checkpoint_verify_failures = 0;
  std::atomic<int64_t> checkpoint_disk_full = 0;  ///< writes refused for want of room
  std::atomic<bool> disk_is_full = false;         ///< as of the newest write
  DurationCounter commits;
};

}  // namespace bsnn::api
