#include "server/data_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/fault.h"
#include "base/status.h"

namespace bsnn::server {

absl::StatusOr<DataFolder> DataFolder::Open(const std::filesystem::path& folder) {
  RETURN_IF_ERROR(base::MakeFolder(folder));
  const std::filesystem::path path = folder / "lock";
  DataFolder made;
  made.folder_ = folder;
  made.lock_ = base::FileDescriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!made.lock_.valid()) return base::ErrnoStatus(errno, "open", path);
  if (::flock(made.lock_.get(), LOCK_EX | LOCK_NB) == 0) {
    const std::string owner = fmt::format("{}\n", ::getpid());
    if (::ftruncate(made.lock_.get(), 0) != 0) return base::ErrnoStatus(errno, "truncate", path);
    RETURN_IF_ERROR(base::WriteAll(made.lock_.get(), owner, path));
    return made;
  }
  if (errno != EWOULDBLOCK) return base::ErrnoStatus(errno, "lock", path);
  std::string owner = base::ReadFile(path, 64).value_or("");
  while (!owner.empty() && owner.back() == '\n') owner.pop_back();
  return base::WithReason(
      absl::FailedPreconditionError(fmt::format(
          "another coordinator (process {}) runs on {}; stop it or take another --data folder",
          owner.empty() ? "unknown" : owner, folder.string())),
      {"DATA_FOLDER_IN_USE", {{"folder", folder.string()}}});
}

}  // namespace bsnn::server
