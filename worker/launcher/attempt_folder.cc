#include "worker/launcher/attempt_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/status.h"

namespace bsnn::launcher {
namespace fs = std::filesystem;
namespace {

constexpr char kAttempts[] = "attempts";

absl::Status RemoveTree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return base::ErrnoStatus(error.value(), "cannot remove", path);
  return absl::OkStatus();
}

/// Up to `bytes` from the end of `file`.
absl::StatusOr<std::string> ReadEnd(int file, uint64_t bytes, const fs::path& path) {
  struct stat facts {};
  if (::fstat(file, &facts) != 0) return base::ErrnoStatus(errno, "cannot read", path);
  const auto size = static_cast<uint64_t>(facts.st_size);
  std::string text(std::min(size, bytes), '\0');
  const ssize_t count =
      ::pread(file, text.data(), text.size(), static_cast<off_t>(size - text.size()));
  if (count < 0) return base::ErrnoStatus(errno, "cannot read", path);
  text.resize(static_cast<size_t>(count));
  if (text.size() < size) text.erase(0, text.find('\n') + 1);
  return text;
}

}  // namespace

WorkFolder::WorkFolder(fs::path path, base::FileDescriptor lock)
    : path_(std::move(path)), lock_(std::move(lock)) {}

absl::StatusOr<WorkFolder> WorkFolder::Open(const fs::path& path) {
  RETURN_IF_ERROR(base::MakeFolder(path));
  const fs::path lock_path = path / "lock";
  base::FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.valid()) return base::ErrnoStatus(errno, "cannot open", lock_path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return base::ErrnoStatus(errno, "cannot lock", lock_path);
    return absl::FailedPreconditionError(
        fmt::format("work folder {} is in use by another worker", path.string()));
  }
  RETURN_IF_ERROR(RemoveTree(path / kAttempts));
  RETURN_IF_ERROR(base::MakeFolder(path / kAttempts));
  return WorkFolder(fs::absolute(path), std::move(lock));
}

fs::path WorkFolder::AttemptPath(const agent::AttemptKey& key) const {
  return path_ / kAttempts / key.ToText();
}

absl::StatusOr<WorkFolder::Identity> WorkFolder::TakeIdentity(const std::string& id,
                                                              const std::string& hostname,
                                                              const std::string& incarnation,
                                                              const base::RandomBits& bits) const {
  constexpr uint64_t kBytesMax = 1024;
  constexpr size_t kPrefixBytesMax = 50;
  const std::filesystem::path file = path_ / "id";
  std::string kept_id, kept_incarnation;
  if (const auto text = base::ReadFile(file, kBytesMax); text.ok()) {
    std::istringstream(*text) >> kept_id >> kept_incarnation;
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  Identity identity;
  identity.id = id;
  if (identity.id.empty()) {
    identity.id = base::WorkerId::Make(kept_id).ok() && !kept_id.empty()
                      ? kept_id
                      : base::MakeIdText(hostname.substr(0, kPrefixBytesMax), bits);
  }
  if (identity.id == kept_id) identity.replaces = kept_incarnation;
  RETURN_IF_ERROR(base::WriteFileDurably(file, identity.id + "\n" + incarnation + "\n"));
  return identity;
}

absl::Status WorkFolder::CheckFree(uint64_t bytes) const {
  struct statvfs facts {};
  if (::statvfs(path_.c_str(), &facts) != 0) {
    return base::ErrnoStatus(errno, "cannot ask for the free space of", path_);
  }
  const uint64_t free = uint64_t{facts.f_bavail} * facts.f_frsize;
  if (free >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("disk of work folder {} has {} MiB free (needed: at least {})", path_.string(),
                  free >> 20, (bytes + (1 << 20) - 1) >> 20));
}

absl::Status MakeAttemptFolder(const fs::path& folder, const spec::JobSpec& spec) {
  RETURN_IF_ERROR(RemoveTree(folder));
  RETURN_IF_ERROR(base::MakeFolder(folder / "checkpoints"));
  return base::WriteFileDurably(folder / "spec.json", spec::CanonicalText(spec) + "\n");
}

absl::Status RemoveAttemptFolder(const fs::path& folder) { return RemoveTree(folder); }

std::string ReadLogTail(const fs::path& log, uint64_t bytes_max) {
  const base::FileDescriptor file(::open(log.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return "";
  auto text = ReadEnd(file.get(), bytes_max, log);
  if (!text.ok()) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

absl::Status TrimLog(const fs::path& log, uint64_t bytes_max, uint64_t bytes_kept) {
  const base::FileDescriptor file(::open(log.c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return absl::OkStatus();
  if (!file.valid()) return base::ErrnoStatus(errno, "cannot open", log);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return base::ErrnoStatus(errno, "cannot read", log);
  if (static_cast<uint64_t>(facts.st_size) <= bytes_max) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string kept, ReadEnd(file.get(), bytes_kept, log));
  if (::ftruncate(file.get(), 0) != 0) return base::ErrnoStatus(errno, "cannot shorten", log);
  return base::WriteAll(file.get(), kept, log);
}

}  // namespace bsnn::launcher
