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
#include "base/fault.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/status.h"
#include "blob/errors.h"

namespace bsnn::blob {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRunningMax = 4096;  // hashes of files that are being uploaded

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

/// Adds every file at and below `top`, which is named `key`. Folders that vanish are skipped.
absl::Status Collect(const fs::path& top, const Key& key, bool published,
                     std::vector<BlobInfo>& infos) {
  ASSIGN_OR_RETURN(const auto size, SizeOf(top));
  if (size) {
    infos.push_back({key, *size, published});
    return absl::OkStatus();
  }
  std::error_code error;
  fs::directory_iterator item(top, error);
  for (; !error && item != fs::directory_iterator(); item.increment(error)) {
    const std::string name = item->path().filename().string();
    const auto at = Key::Parse(key.text().empty() ? name : key.text() + "/" + name);
    if (at.ok()) RETURN_IF_ERROR(Collect(item->path(), *at, published, infos));  // else: not ours
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
  RETURN_IF_ERROR(RemoveTree(store->trash_));
  RETURN_IF_ERROR(base::MakeFolder(store->trash_));
  return store;
}

absl::Mutex& FileBlobStore::MutexOf(const Key& key) const {
  return mutexes_[std::hash<std::string>()(key.text()) % mutexes_.size()];
}

std::optional<FileBlobStore::Running> FileBlobStore::TakeRunning(const Key& key, uint64_t size) {
  if (size == 0) return Running();
  absl::MutexLock lock(&running_mutex_);
  const auto node = running_.extract(key);
  if (node.empty() || node.mapped().size != size) return std::nullopt;
  return std::move(node.mapped());
}

void FileBlobStore::PutRunning(const Key& key, Running running) {
  absl::MutexLock lock(&running_mutex_);
  // One that is pushed out costs a read of its file at Commit, nothing else.
  if (running_.size() >= kRunningMax) running_.erase(running_.begin());
  running_.insert_or_assign(key, std::move(running));
}

void FileBlobStore::DropRunning(const Key& key) {
  absl::MutexLock lock(&running_mutex_);
  std::erase_if(running_, [&](const auto& item) { return IsAtOrBelow(item.first, key); });
}

absl::Status FileBlobStore::Told(const absl::Status& status) const {
  if (status.ok()) return status;
  const base::Reason reason = base::ReasonOf(status);
  std::string text(status.message());
  const std::string folder = staged_.parent_path().string() + "/";
  for (size_t at = text.find(folder); at != std::string::npos; at = text.find(folder, at)) {
    text.erase(at, folder.size());
  }
  const bool passing =
      reason.reason == base::kDiskFull || status.code() == absl::StatusCode::kUnknown;
  const absl::Status told(passing ? absl::StatusCode::kUnavailable : status.code(), text);
  return reason.reason.empty() ? told : base::WithReason(told, reason);
}

absl::StatusOr<base::FileDescriptor> FileBlobStore::OpenStaged(const fs::path& path) const {
  absl::ReaderMutexLock lock(&folders_mutex_);
  RETURN_IF_ERROR(base::MakeFolder(path.parent_path()));
  return Open(path, O_WRONLY | O_CREAT | O_APPEND);
}

absl::Status FileBlobStore::Move(const fs::path& source, const fs::path& target) const {
  absl::ReaderMutexLock lock(&folders_mutex_);
  RETURN_IF_ERROR(base::MakeFolder(target.parent_path()));
  if (::rename(source.c_str(), target.c_str()) == 0) return absl::OkStatus();
  return base::ErrnoStatus(errno, "rename to", target);
}

absl::StatusOr<uint64_t> FileBlobStore::Append(const Key& key, uint64_t offset,
                                               std::string_view data) {
  auto size = AppendTo(key, offset, data);
  if (size.ok()) return size;
  return Told(size.status());
}

absl::StatusOr<uint64_t> FileBlobStore::AppendTo(const Key& key, uint64_t offset,
                                                 std::string_view data) {
  absl::MutexLock lock(&MutexOf(key));
  ASSIGN_OR_RETURN(const auto published, SizeOf(published_ / key.text()));
  if (published) return AlreadyPublished(key);
  const fs::path path = staged_ / key.text();
  ASSIGN_OR_RETURN(const auto staged, SizeOf(path));
  const uint64_t size = staged.value_or(0);
  if (offset != size) return WrongOffset(key, offset, size);
  if (data.size() > base::kCheckpointFileBytesMax - size) return TooLarge(key);
  auto running = TakeRunning(key, size);
  ASSIGN_OR_RETURN(base::FileDescriptor file, OpenStaged(path));
  if (const absl::Status status = base::WriteAll(file.get(), data, path); !status.ok()) {
    // A full disk may have taken a part; what is staged must stay what was acknowledged.
    if (::ftruncate(file.get(), static_cast<off_t>(size)) == 0 && running) {
      PutRunning(key, *std::move(running));
    }
    return status;
  }
  RETURN_IF_ERROR(file.Close());
  if (running) {
    running->hash.Update(data);
    running->size += data.size();
    PutRunning(key, *std::move(running));
  }
  return size + data.size();
}

absl::StatusOr<uint64_t> FileBlobStore::StagedSize(const Key& key) const {
  const auto blob = Stat(key);
  if (absl::IsNotFound(blob.status())) return 0;
  RETURN_IF_ERROR(blob.status());
  return blob->size_bytes;
}

absl::Status FileBlobStore::Commit(const Key& key, uint64_t size_bytes, std::string_view sha256) {
  return Told(Publish(key, size_bytes, sha256));
}

absl::Status FileBlobStore::Publish(const Key& key, uint64_t size_bytes, std::string_view sha256) {
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
  ASSIGN_OR_RETURN(const auto staged, SizeOf(source));
  const uint64_t size = staged.value_or(0);
  std::string digest;
  if (auto running = TakeRunning(key, size)) {
    digest = running->hash.FinishHex();
  } else {
    ASSIGN_OR_RETURN(digest, artifact::Sha256File(source));
  }
  if (size != size_bytes || digest != sha256) {
    RETURN_IF_ERROR(RemoveTree(source));
    return WrongContent(key, fmt::format("{} bytes of sha256 {}", size_bytes, sha256),
                        fmt::format("{} bytes of sha256 {}", size, digest));
  }
  // After a failed fsync the kernel has dropped pages that a second one would not miss.
  if (const absl::Status status = base::SyncPath(source); !status.ok()) {
    RETURN_IF_ERROR(RemoveTree(source));
    return status;
  }
  RETURN_IF_ERROR(Move(source, target));
  if (const absl::Status status = SyncFolders(target.parent_path(), published_); !status.ok()) {
    RETURN_IF_ERROR(RemoveTree(target));
    return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FileBlobStore::Read(const Key& key, uint64_t offset,
                                                uint64_t limit) const {
  auto bytes = ReadFrom(key, offset, limit);
  if (bytes.ok()) return bytes;
  return Told(bytes.status());
}

absl::StatusOr<std::string> FileBlobStore::ReadFrom(const Key& key, uint64_t offset,
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
  for (const bool published : {true, false}) {
    const auto size = SizeOf((published ? published_ : staged_) / key.text());
    if (!size.ok()) return Told(size.status());
    if (*size) return BlobInfo{key, **size, published};
  }
  return NotPublished(key);
}

absl::Status FileBlobStore::Delete(const Key& key) {
  if (key.text().empty()) return absl::InvalidArgumentError("an empty key deletes nothing");
  DropRunning(key);
  const fs::path grave = trash_ / std::to_string(++trashed_);
  {
    absl::MutexLock lock(&MutexOf(key));
    absl::WriterMutexLock folders_lock(&folders_mutex_);
    std::error_code ignored;
    fs::create_directory(grave, ignored);
    for (const fs::path& root : {staged_, published_}) {
      const fs::path source = root / key.text();
      const fs::path target = grave / root.filename();
      if (::rename(source.c_str(), target.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) {
        return Told(base::ErrnoStatus(errno, "remove", source));
      }
      // A folder whose last child went would be left for ever; one that is not empty stays.
      for (fs::path up = source.parent_path(); up != root; up = up.parent_path()) {
        if (!fs::remove(up, ignored)) break;
      }
    }
  }
  return Told(RemoveTree(grave));
}

absl::StatusOr<std::vector<BlobInfo>> FileBlobStore::List(const Key& key) const {
  std::vector<BlobInfo> infos;
  for (const bool published : {false, true}) {
    const fs::path& root = published ? published_ : staged_;
    const fs::path top = key.text().empty() ? root : root / key.text();
    if (const auto status = Collect(top, key, published, infos); !status.ok()) return Told(status);
  }
  std::sort(infos.begin(), infos.end(), [](const BlobInfo& a, const BlobInfo& b) {
    return a.key != b.key ? a.key < b.key : a.published > b.published;
  });
  // A blob that was published between the two passes is listed once, as published.
  infos.erase(std::unique(infos.begin(), infos.end(),
                          [](const BlobInfo& a, const BlobInfo& b) { return a.key == b.key; }),
              infos.end());
  return infos;
}

absl::Status FileBlobStore::ForEachRoot(
    const std::function<bool(const std::string&)>& visit) const {
  for (const fs::path& root : {staged_, published_}) {
    std::error_code error;
    fs::directory_iterator item(root, error);
    for (; !error && item != fs::directory_iterator(); item.increment(error)) {
      const std::string name = item->path().filename().string();
      if (Key::Parse(name).ok() && !visit(name)) return absl::OkStatus();
    }
    if (error) return Told(base::ErrnoStatus(error.value(), "list", root));
  }
  return absl::OkStatus();
}

}  // namespace bsnn::blob
