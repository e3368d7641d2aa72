#include "blob/file/file_blob_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>
#include <system_error>

#include "artifact/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/status.h"
#include "blob/errors.h"

namespace bsnn::blob {
namespace {

namespace fs = std::filesystem;

/// Size of a regular file; nothing where there is none.
absl::StatusOr<std::optional<uint64_t>> SizeOf(const fs::path& path) {
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) == 0) {
    if (!S_ISREG(facts.st_mode)) return std::optional<uint64_t>();
    return std::optional(static_cast<uint64_t>(facts.st_size));
  }
  if (errno == ENOENT || errno == ENOTDIR) return std::optional<uint64_t>();
  return base::ErrnoStatus(errno, "stat", path);
}

absl::StatusOr<base::FileDescriptor> Open(const fs::path& path, int flags) {
  base::FileDescriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!file.valid()) return base::ErrnoStatus(errno, "open", path);
  return file;
}

/// fsync of every folder from `folder` up to `root`.
absl::Status SyncFolders(fs::path folder, const fs::path& root) {
  while (true) {
    RETURN_IF_ERROR(base::SyncPath(folder));
    if (folder == root || !folder.has_relative_path()) return absl::OkStatus();
    folder = folder.parent_path();
  }
}

absl::Status RemoveTree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error || error == std::errc::no_such_file_or_directory) return absl::OkStatus();
  return base::ErrnoStatus(error.value(), "remove", path);
}

absl::Status Collect(const fs::path& root, const Key& key, bool published,
                     std::vector<BlobInfo>& infos) {
  const fs::path top = key.text().empty() ? root : root / key.text();
  ASSIGN_OR_RETURN(const auto single, SizeOf(top));
  if (single) infos.push_back({key, *single, published});
  std::error_code error;
  fs::recursive_directory_iterator item(top, error);
  for (; !error && item != fs::recursive_directory_iterator(); item.increment(error)) {
    if (!item->is_regular_file(error)) continue;
    const auto at = Key::Parse(item->path().lexically_relative(root).string());
    if (!at.ok()) continue;  // not ours
    ASSIGN_OR_RETURN(const auto size, SizeOf(item->path()));
    if (size) infos.push_back({*at, *size, published});
  }
  const bool gone =
      error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
  if (error && !gone) return base::ErrnoStatus(error.value(), "list", top);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileBlobStore>> FileBlobStore::Make(const fs::path& folder) {
  auto store = std::unique_ptr<FileBlobStore>(new FileBlobStore(folder));
  RETURN_IF_ERROR(base::MakeFolder(store->staged_));
  RETURN_IF_ERROR(base::MakeFolder(store->published_));
  return store;
}

absl::Mutex& FileBlobStore::MutexOf(const Key& key) const {
  return mutexes_[std::hash<std::string>()(key.text()) % mutexes_.size()];
}

absl::StatusOr<base::FileDescriptor> FileBlobStore::OpenStaged(const fs::path& path) const {
  absl::ReaderMutexLock lock(&folders_mutex_);
  RETURN_IF_ERROR(base::MakeFolder(path.parent_path()));
  return Open(path, O_WRONLY | O_CREAT | O_APPEND);
}

absl::Status FileBlobStore::Publish(const fs::path& source, const fs::path& target) const {
  absl::ReaderMutexLock lock(&folders_mutex_);
  RETURN_IF_ERROR(base::MakeFolder(target.parent_path()));
  if (::rename(source.c_str(), target.c_str()) == 0) return absl::OkStatus();
  return base::ErrnoStatus(errno, "rename to", target);
}

absl::StatusOr<uint64_t> FileBlobStore::Append(const Key& key, uint64_t offset,
                                               std::string_view data) {
  absl::MutexLock lock(&MutexOf(key));
  ASSIGN_OR_RETURN(const auto published, SizeOf(published_ / key.text()));
  if (published) return AlreadyPublished(key);
  const fs::path path = staged_ / key.text();
  ASSIGN_OR_RETURN(const auto staged, SizeOf(path));
  const uint64_t size = staged.value_or(0);
  if (offset != size) return WrongOffset(key, offset, size);
  if (data.size() > base::kCheckpointFileBytesMax - size) return TooLarge(key);
  ASSIGN_OR_RETURN(base::FileDescriptor file, OpenStaged(path));
  if (const absl::Status status = base::WriteAll(file.get(), data, path); !status.ok()) {
    // A full disk may have taken a part; what is staged must stay what was acknowledged.
    (void)::ftruncate(file.get(), static_cast<off_t>(size));
    return status;
  }
  RETURN_IF_ERROR(file.Close());
  return size + data.size();
}

absl::StatusOr<uint64_t> FileBlobStore::StagedSize(const Key& key) const {
  absl::MutexLock lock(&MutexOf(key));
  ASSIGN_OR_RETURN(const auto published, SizeOf(published_ / key.text()));
  if (published) return *published;
  ASSIGN_OR_RETURN(const auto staged, SizeOf(staged_ / key.text()));
  return staged.value_or(0);
}

absl::Status FileBlobStore::Commit(const Key& key, uint64_t size_bytes, std::string_view sha256) {
  absl::MutexLock lock(&MutexOf(key));
  const fs::path target = published_ / key.text();
  ASSIGN_OR_RETURN(const auto published, SizeOf(target));
  if (published) {
    // The Commit that published it may have been cut off before the folders were on disk.
    if (*published == size_bytes) return SyncFolders(target.parent_path(), published_);
    return WrongContent(key, fmt::format("{} bytes", size_bytes),
                        fmt::format("{} bytes, published", *published));
  }
  const fs::path source = staged_ / key.text();
  RETURN_IF_ERROR(OpenStaged(source).status());
  ASSIGN_OR_RETURN(const auto size, SizeOf(source));
  ASSIGN_OR_RETURN(const std::string digest, artifact::Sha256File(source));
  if (size != size_bytes || digest != sha256) {
    RETURN_IF_ERROR(RemoveTree(source));
    return WrongContent(key, fmt::format("{} bytes of sha256 {}", size_bytes, sha256),
                        fmt::format("{} bytes of sha256 {}", size.value_or(0), digest));
  }
  RETURN_IF_ERROR(base::SyncPath(source));
  RETURN_IF_ERROR(Publish(source, target));
  return SyncFolders(target.parent_path(), published_);
}

absl::StatusOr<std::string> FileBlobStore::Read(const Key& key, uint64_t offset,
                                                uint64_t limit) const {
  const fs::path path = published_ / key.text();
  ASSIGN_OR_RETURN(const auto size, SizeOf(path));
  if (!size) return NotPublished(key);
  if (offset > *size) return BeyondEnd(key, offset, *size);
  const auto opened = Open(path, O_RDONLY);
  if (absl::IsNotFound(opened.status())) return NotPublished(key);
  RETURN_IF_ERROR(opened.status());
  std::string bytes(std::min(limit, *size - offset), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::pread(opened->get(), bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus(errno, "read", path);
    if (got == 0) break;  // cut short by someone outside: the reader's digest will say so
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

absl::StatusOr<BlobInfo> FileBlobStore::Stat(const Key& key) const {
  absl::MutexLock lock(&MutexOf(key));
  ASSIGN_OR_RETURN(const auto published, SizeOf(published_ / key.text()));
  if (published) return BlobInfo{key, *published, true};
  ASSIGN_OR_RETURN(const auto staged, SizeOf(staged_ / key.text()));
  if (staged) return BlobInfo{key, *staged, false};
  return NotPublished(key);
}

absl::Status FileBlobStore::Delete(const Key& key) {
  if (key.text().empty()) return absl::InvalidArgumentError("an empty key deletes nothing");
  absl::MutexLock lock(&MutexOf(key));
  absl::WriterMutexLock folders_lock(&folders_mutex_);
  RETURN_IF_ERROR(RemoveTree(staged_ / key.text()));
  RETURN_IF_ERROR(RemoveTree(published_ / key.text()));
  // A folder whose last child went would be left for ever; one that is not empty stays.
  for (const fs::path& root : {staged_, published_}) {
    std::error_code ignored;
    for (fs::path up = (root / key.text()).parent_path(); up != root; up = up.parent_path()) {
      if (!fs::remove(up, ignored)) break;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<BlobInfo>> FileBlobStore::List(const Key& key) const {
  absl::ReaderMutexLock lock(&folders_mutex_);
  std::vector<BlobInfo> infos;
  RETURN_IF_ERROR(Collect(staged_, key, false, infos));
  RETURN_IF_ERROR(Collect(published_, key, true, infos));
  std::sort(infos.begin(), infos.end(), [](const BlobInfo& a, const BlobInfo& b) {
    return a.key != b.key ? a.key < b.key : a.published > b.published;
  });
  // A blob that was published between the two passes is listed once, as published.
  infos.erase(std::unique(infos.begin(), infos.end(),
                          [](const BlobInfo& a, const BlobInfo& b) { return a.key == b.key; }),
              infos.end());
  return infos;
}

}  // namespace bsnn::blob
