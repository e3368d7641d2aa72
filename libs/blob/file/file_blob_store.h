/// BlobStore in a folder: `published/KEY` and `staged/KEY`, one file each.
///
/// Commit hashes the staged file, fsyncs it, renames it into `published`, and fsyncs the folders on
/// the way, so that a published file is complete or not there. Two processes must not share the
/// folder: the owner holds a lock (bsnn-coordinator locks its data folder).
///
/// Thread-safe: 64 mutexes, one for each class of key, are held while a file is written, hashed or
/// removed; Delete and List of a subtree do not exclude writers below it. One more, taken after
/// these, keeps Delete from taking a folder away while another file is made in it or it is listed.
#pragma once

#include <absl/synchronization/mutex.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>

#include "base/file.h"
#include "blob/blob_store.h"

namespace bsnn::blob {

class FileBlobStore final : public BlobStore {
 public:
  /// Makes the folders where they are missing.
  static absl::StatusOr<std::unique_ptr<FileBlobStore>> Make(const std::filesystem::path& folder);

  absl::StatusOr<uint64_t> Append(const Key& key, uint64_t offset, std::string_view data) override;
  absl::StatusOr<uint64_t> StagedSize(const Key& key) const override;
  absl::Status Commit(const Key& key, uint64_t size_bytes, std::string_view sha256) override;
  absl::StatusOr<std::string> Read(const Key& key, uint64_t offset, uint64_t limit) const override;
  absl::StatusOr<BlobInfo> Stat(const Key& key) const override;
  absl::Status Delete(const Key& key) override;
  absl::StatusOr<std::vector<BlobInfo>> List(const Key& key) const override;

 private:
  explicit FileBlobStore(const std::filesystem::path& folder)
      : staged_(folder / "staged"), published_(folder / "published") {}

  absl::Mutex& MutexOf(const Key& key) const;
  /// Opens the staged file to append, with its folders made where they are missing.
  absl::StatusOr<base::FileDescriptor> OpenStaged(const std::filesystem::path& path) const;
  absl::Status Publish(const std::filesystem::path& source,
                       const std::filesystem::path& target) const;

  const std::filesystem::path staged_;
  const std::filesystem::path published_;
  mutable std::array<absl::Mutex, 64> mutexes_;
  mutable absl::Mutex folders_mutex_;
};

}  // namespace bsnn::blob
