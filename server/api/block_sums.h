/// CRC-32C of each block of checkpoint files that were read whole and had the right SHA-256. A
/// block that is read again is compared with its sum before it is sent, at less cost than hashing
/// the file.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace bsnn::api {

/// In memory, by the files' SHA-256: known since the start, or since the file was last forgotten.
/// Thread-safe.
class BlockSums {
 public:
  using Sums = std::vector<uint32_t>;  ///< of blocks of limits.h kChunkBytes, the last one shorter

  /// Holds at most so many sums, 4 bytes each; then the files that came first are forgotten.
  explicit BlockSums(size_t sums_max = 1 << 20) : sums_max_(sums_max) {}

  /// Null where they are not known.
  std::shared_ptr<const Sums> Find(const std::string& sha256) const;
  void Put(const std::string& sha256, Sums sums);

 private:
  const size_t sums_max_;
  mutable absl::Mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const Sums>> files_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);  // oldest first
  size_t held_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bsnn::api
