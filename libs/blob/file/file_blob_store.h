/// BlobStore in a folder: `published/KEY` and `staged/KEY`, one file each; `trash/N` for what is
/// being removed.
///
/// A staged file is hashed while it is appended to; Commit compares, fsyncs it, renames it into
/// `published`, and fsyncs the folders on the way, so that a published file is complete or not
/// there. After a restart Commit reads what was staged before. Delete renames into `trash` and
/// unlinks there. Two processes must not share the folder: the owner holds a lock (bsnn-coordinator
/// locks its data folder).
///
/// Thread-safe: 1024 mutexes, one for each class of key, are held while a file is written or
/// published; Delete and List of a subtree do not exclude writers below it. One more, taken after
/// these and for renames only, keeps Delete from taking a folder away while another file is made in
/// it. The last one guards the running hashes and is taken alone.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "artifact/digest.h"
#include "base/file.h"
#include "blob/blob_store.h"

namespace bsnn::blob {

class FileBlobStore final : public BlobStore {
 public:
  /// Makes the folders where they are missing, and removes what a crash left in the trash.
  static absl::StatusOr<std::unique_ptr<FileBlobStore>> Make(const std::filesystem::path& folder);

  absl::StatusOr<uint64_t> Append(const Key& key, uint64_t offset, std::string_view data) override;
  absl::StatusOr<uint64_t> StagedSize(const Key& key) const override;
  absl::Status Commit(const Key& key, uint64_t size_bytes, std::string_view sha256) override;
  absl::StatusOr<std::string> Read(const Key& key, uint64_t offset, uint64_t limit) const override;
  absl::StatusOr<BlobInfo> Stat(const Key& key) const override;
  absl::Status Delete(const Key& key) override;
  absl::StatusOr<std::vector<BlobInfo>> List(const Key& key) const override;
  absl::Status ForEachRoot(const std::function<bool(const std::string&)>& visit) const override;

 private:
  explicit FileBlobStore(const std::filesystem::path& folder)
      : staged_(folder / "staged"), published_(folder / "published"), trash_(folder / "trash") {}

  /// The hash of a staged file's first `size` bytes.
  struct Running {
    artifact::Sha256 hash;
    uint64_t size = 0;
  };

  absl::Mutex& MutexOf(const Key& key) const;
  /// Takes the running hash of the staged file, if it is of its first `size` bytes.
  std::optional<Running> TakeRunning(const Key& key, uint64_t size);
  void PutRunning(const Key& key, Running running);
  void DropRunning(const Key& key);
  absl::StatusOr<uint64_t> AppendTo(const Key& key, uint64_t offset, std::string_view data);
  absl::Status Publish(const Key& key, uint64_t size_bytes, std::string_view sha256);
  absl::StatusOr<std::string> ReadFrom(const Key& key, uint64_t offset, uint64_t limit) const;
  /// Opens the staged file to append, with its folders made where they are missing.
  absl::StatusOr<base::FileDescriptor> OpenStaged(const std::filesystem::path& path) const;
  absl::Status Move(const std::filesystem::path& source, const std::filesystem::path& target) const;
  /// What a caller is told of an error: see blob_store.h. A full disk and EIO, which has no code of
  /// its own, are Unavailable.
  absl::Status Told(const absl::Status& status) const;

  const std::filesystem::path staged_;
  const std::filesystem::path published_;
  const std::filesystem::path trash_;
  std::atomic<int64_t> trashed_ = 0;
  mutable std::array<absl::Mutex, 1024> mutexes_;
  mutable absl::Mutex folders_mutex_;
  absl::Mutex running_mutex_;
  std::map<Key, Running> running_ ABSL_GUARDED_BY(running_mutex_);
};

}  // namespace bsnn::blob
