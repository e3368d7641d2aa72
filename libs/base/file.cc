#include "base/file.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/fault.h"
#include "base/status.h"

namespace bsnn::base {
namespace fs = std::filesystem;

absl::Status ErrnoStatus(int error_number, std::string_view what, const fs::path& path) {
  const absl::Status status =
      absl::ErrnoToStatus(error_number, fmt::format("{} {}", what, path.string()));
  if (error_number != ENOSPC && error_number != EDQUOT) return status;
  return WithReason(status, {kDiskFull, {}});
}

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (valid()) ::close(descriptor_);
}

absl::Status FileDescriptor::Close() {
  if (!valid()) return absl::OkStatus();
  if (::close(std::exchange(descriptor_, -1)) != 0) return absl::ErrnoToStatus(errno, "close");
  return absl::OkStatus();
}

absl::Status WriteAll(int descriptor, std::string_view content, const fs::path& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "cannot write", path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const fs::path& path, uint64_t bytes_max) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, "cannot open", path);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return ErrnoStatus(errno, "cannot read", path);
  if (S_ISDIR(facts.st_mode)) return ErrnoStatus(EISDIR, "cannot read", path);
  std::string content;
  char block[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.get(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "cannot read", path);
    if (count == 0) return content;
    if (content.size() + static_cast<uint64_t>(count) > bytes_max) {
      return absl::ResourceExhaustedError(
          fmt::format("{} is larger than {} bytes", path.string(), bytes_max));
    }
    content.append(block, static_cast<size_t>(count));
  }
}

absl::Status SyncPath(const fs::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, "cannot open", path);
  if (::fsync(file.get()) != 0) return ErrnoStatus(errno, "cannot sync", path);
  return absl::OkStatus();
}

absl::Status WriteFileDurably(const fs::path& path, std::string_view content) {
  const fs::path temporary = path.string() + ".tmp";
  FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return ErrnoStatus(errno, "cannot create", temporary);
  RETURN_IF_ERROR(WriteAll(file.get(), content, temporary));
  if (::fsync(file.get()) != 0) return ErrnoStatus(errno, "cannot sync", temporary);
  RETURN_IF_ERROR(file.Close());
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, "cannot rename to", path);
  }
  return SyncPath(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

absl::Status MakeFolder(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return absl::OkStatus();
  const fs::path parent = path.parent_path();
  if (!parent.empty() && parent != path) RETURN_IF_ERROR(MakeFolder(parent));
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "cannot create folder", path);
  }
  return SyncPath(parent.empty() ? fs::path(".") : parent);
}

}  // namespace bsnn::base
