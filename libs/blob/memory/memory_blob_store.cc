#include "blob/memory/memory_blob_store.h"

#include <fmt/format.h>

#include <set>

#include "artifact/digest.h"
#include "base/check.h"
#include "base/limits.h"
#include "blob/errors.h"

namespace bsnn::blob {

absl::StatusOr<uint64_t> MemoryBlobStore::Append(const Key& key, uint64_t offset,
                                                 std::string_view data) {
  absl::MutexLock lock(&mutex_);
  const auto found = blobs_.find(key);
  if (found != blobs_.end() && found->second.published) return AlreadyPublished(key);
  const uint64_t size = found == blobs_.end() ? 0 : found->second.bytes.size();
  if (offset != size) return WrongOffset(key, offset, size);
  if (data.size() > base::kCheckpointFileBytesMax - size) return TooLarge(key);
  std::string& bytes = blobs_[key].bytes;
  bytes += data;
  return bytes.size();
}

absl::StatusOr<uint64_t> MemoryBlobStore::StagedSize(const Key& key) const {
  absl::MutexLock lock(&mutex_);
  const auto found = blobs_.find(key);
  return found == blobs_.end() ? 0 : found->second.bytes.size();
}

absl::Status MemoryBlobStore::Commit(const Key& key, uint64_t size_bytes, std::string_view sha256) {
  absl::MutexLock lock(&mutex_);
  Blob& blob = blobs_[key];
  const std::string expected = fmt::format("{} bytes of sha256 {}", size_bytes, sha256);
  const std::string met = fmt::format("{} bytes of sha256 {}", blob.bytes.size(),
                                      blob.published ? sha256 : artifact::Sha256Hex(blob.bytes));
  if (expected == met) {
    blob.published = true;
    return absl::OkStatus();
  }
  if (!blob.published) blobs_.erase(key);
  return WrongContent(key, expected, met);
}

absl::StatusOr<std::string> MemoryBlobStore::Read(const Key& key, uint64_t offset,
                                                  uint64_t limit) const {
  absl::MutexLock lock(&mutex_);
  const auto found = blobs_.find(key);
  if (found == blobs_.end() || !found->second.published) return NotPublished(key);
  const std::string& bytes = found->second.bytes;
  if (offset > bytes.size()) return BeyondEnd(key, offset, bytes.size());
  return bytes.substr(offset, limit);
}

absl::StatusOr<BlobInfo> MemoryBlobStore::Stat(const Key& key) const {
  absl::MutexLock lock(&mutex_);
  const auto found = blobs_.find(key);
  if (found == blobs_.end()) return NotPublished(key);
  return BlobInfo{key, found->second.bytes.size(), found->second.published};
}

absl::Status MemoryBlobStore::Delete(const Key& key) {
  absl::MutexLock lock(&mutex_);
  if (key.text().empty()) return absl::InvalidArgumentError("an empty key deletes nothing");
  std::erase_if(blobs_, [&](const auto& item) { return IsAtOrBelow(item.first, key); });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<BlobInfo>> MemoryBlobStore::List(const Key& key) const {
  absl::MutexLock lock(&mutex_);
  std::vector<BlobInfo> infos;
  for (const auto& [at, blob] : blobs_) {
    if (IsAtOrBelow(at, key)) infos.push_back({at, blob.bytes.size(), blob.published});
  }
  return infos;
}

absl::Status MemoryBlobStore::ForEachRoot(
    const std::function<bool(const std::string&)>& visit) const {
  std::set<std::string> roots;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [key, blob] : blobs_) roots.insert(key.text().substr(0, key.text().find('/')));
  }
  for (const std::string& root : roots) {
    if (!visit(root)) break;
  }
  return absl::OkStatus();
}

void MemoryBlobStore::FlipBit(const Key& key, uint64_t offset) {
  absl::MutexLock lock(&mutex_);
  const auto found = blobs_.find(key);
  BSNN_CHECK(found != blobs_.end() && offset < found->second.bytes.size());
  found->second.bytes[offset] = static_cast<char>(found->second.bytes[offset] ^ 1);
}

}  // namespace bsnn::blob
