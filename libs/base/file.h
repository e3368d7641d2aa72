/// Files: bounded reads and durable, atomic writes. POSIX.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace bsnn::base {

/// The whole file. NotFound where there is none, ResourceExhausted beyond `bytes_max`.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, uint64_t bytes_max);

/// Writes `content` so that after OK, and whatever happens after, `path` holds all of it; before
/// OK, it holds what it held: temporary file beside it, fsync, rename, fsync of the folder.
absl::Status WriteFileDurably(const std::filesystem::path& path, std::string_view content);

/// fsync of a file or folder by path. A failed fsync is never to be retried: the data is gone.
absl::Status SyncPath(const std::filesystem::path& path);

/// Creates `path` with its parents, and fsyncs what it created. OK where it is there.
absl::Status MakeFolder(const std::filesystem::path& path);

/// The absl status of an errno value, with what failed on which path; a full disk has reason
/// DISK_FULL.
absl::Status ErrnoStatus(int error_number, std::string_view what,
                         const std::filesystem::path& path);

/// Owns a POSIX file descriptor; -1 is none. Thread-compatible.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  /// Closes now; OK where there is none.
  absl::Status Close();

 private:
  int descriptor_ = -1;
};

/// Writes all of `content` at the descriptor's position.
absl::Status WriteAll(int descriptor, std::string_view content, const std::filesystem::path& path);

}  // namespace bsnn::base
