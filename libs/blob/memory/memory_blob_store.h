/// BlobStore in memory: the fake of tests. Loses everything with the object.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <map>
#include <string>

#include "blob/blob_store.h"

namespace bsnn::blob {

/// Thread-safe.
class MemoryBlobStore final : public BlobStore {
 public:
  absl::StatusOr<uint64_t> Append(const Key& key, uint64_t offset, std::string_view data) override;
  absl::StatusOr<uint64_t> StagedSize(const Key& key) const override;
  absl::Status Commit(const Key& key, uint64_t size_bytes, std::string_view sha256) override;
  absl::StatusOr<std::string> Read(const Key& key, uint64_t offset, uint64_t limit) const override;
  absl::StatusOr<BlobInfo> Stat(const Key& key) const override;
  absl::Status Delete(const Key& key) override;
  absl::StatusOr<std::vector<BlobInfo>> List(const Key& key) const override;
  absl::Status ForEachRoot(const std::function<bool(const std::string&)>& visit) const override;

  /// For tests: turns one bit of a published blob over, as a bad disk would.
  void FlipBit(const Key& key, uint64_t offset);

 private:
  struct Blob {
    std::string bytes;
    bool published = false;
  };
  mutable absl::Mutex mutex_;
  std::map<Key, Blob> blobs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::blob
