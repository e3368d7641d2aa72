/// Port: files of checkpoints, received in pieces, verified, then published.
///
/// A blob has a key such as "job/checkpoint/file". It is *staged* while pieces arrive (Append at
/// the end of what is there, so that a cut upload resumes) and *published* by Commit, which checks
/// size and digest first. Published blobs never change; readers see published ones only.
///
/// Crash points: staged bytes may be lost from the end (ask StagedSize and go on from there);
/// after Commit returned OK the blob is on disk. A crash in Commit leaves it staged or published.
///
/// Errors name keys, never where a store lies. A full disk is Unavailable with reason DISK_FULL: it
/// may have room again. So is a disk that fails (EIO), without that reason.
///
/// Adapters: file/ (a folder) and memory/ (a fake). tests/contract/blob_store_contract.h holds
/// them.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bsnn::blob {

/// A checked key: 1 to 4 parts of [a-z0-9_.-]{1,63} joined by '/', none of them "." or "..".
/// Immutable; the only way to name a blob, so that no path is built from an unchecked text.
class Key {
 public:
  Key() = default;
  /// InvalidArgument naming the part that is wrong.
  static absl::StatusOr<Key> Make(const std::vector<std::string>& parts);
  /// The same from "a/b/c".
  static absl::StatusOr<Key> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  auto operator<=>(const Key&) const = default;

 private:
  explicit Key(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

struct BlobInfo {
  Key key;
  uint64_t size_bytes = 0;
  bool published = false;
  bool operator==(const BlobInfo&) const = default;
};

/// Thread-safe; calls on one key exclude each other. Methods may wait for the disk.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  /// Adds `data` to the staged blob where `offset` is its present size, and gives the new size.
  /// OutOfRange with the size in its message else; AlreadyExists where it is published;
  /// ResourceExhausted with LIMIT_EXCEEDED beyond limits.h kCheckpointFileBytesMax.
  virtual absl::StatusOr<uint64_t> Append(const Key& key, uint64_t offset,
                                          std::string_view data) = 0;

  /// Bytes staged so far, 0 where there are none; of a published blob its size.
  virtual absl::StatusOr<uint64_t> StagedSize(const Key& key) const = 0;

  /// Publishes the staged blob durably if it has this size and SHA-256 (lower-case hexadecimal);
  /// an empty blob needs no Append. OK where it is published with that size. DataLoss with reason
  /// DIGEST_MISMATCH, and the staged bytes are dropped, where size or digest differ. They are
  /// dropped too where they could not be made durable: what the disk holds of them is not known.
  virtual absl::Status Commit(const Key& key, uint64_t size_bytes, std::string_view sha256) = 0;

  /// At most `limit` bytes of the published blob from `offset` on; fewer only at its end. NotFound
  /// where it is not published, OutOfRange beyond its size.
  virtual absl::StatusOr<std::string> Read(const Key& key, uint64_t offset,
                                           uint64_t limit) const = 0;

  /// NotFound where it is neither published nor staged.
  virtual absl::StatusOr<BlobInfo> Stat(const Key& key) const = 0;

  /// Removes what is staged or published at this key and below it ("job" removes "job/…"). OK
  /// where there is nothing.
  virtual absl::Status Delete(const Key& key) = 0;

  /// Every blob at and below `key`, sorted by key; an empty Key lists all. What comes or goes
  /// meanwhile may be in it or not.
  virtual absl::StatusOr<std::vector<BlobInfo>> List(const Key& key) const = 0;

  /// Calls `visit` with the first part of every key, such as a job's id, in any order, until it
  /// returns false. One part may come twice. Holds no lock and little memory, however long the
  /// visits take; what comes or goes meanwhile may be visited or not.
  virtual absl::Status ForEachRoot(const std::function<bool(const std::string&)>& visit) const = 0;
};

}  // namespace bsnn::blob
