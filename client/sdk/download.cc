// The download's steps and crash points: bytes of each file gather in FOLDER.part/NAME, appended
// chunk by chunk, so a cut at any byte leaves a prefix that the next run continues; a prefix of
// another checkpoint is noticed by the manifest's digest and thrown away. When every file's SHA-256
// agrees, the files are synced and FOLDER.part is renamed to FOLDER.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "artifact/checkpoint_folder.h"
#include "artifact/digest.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "client/sdk/client.h"
#include "client/sdk/impl.h"
#include "wire/crc32c.h"

namespace bsnn::sdk {
namespace {

namespace fs = std::filesystem;

/// The server's file names become paths: only plain names pass.
absl::Status CheckFiles(const v1::Checkpoint& checkpoint) {
  if (checkpoint.files_size() == 0 || checkpoint.files_size() > base::kCheckpointFilesMax) {
    return absl::DataLossError(fmt::format("{} has {} files (allowed: 1 to {})", checkpoint.name(),
                                           checkpoint.files_size(), base::kCheckpointFilesMax));
  }
  for (const v1::CheckpointFile& file : checkpoint.files()) {
    const std::string& name = file.name();
    const bool plain =
        !name.empty() && name.size() <= 63 && name[0] != '.' &&
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") == name.npos;
    if (!plain || file.size_bytes() < 0) {
      return absl::DataLossError(fmt::format("{} names a file '{}' of {} bytes", checkpoint.name(),
                                             base::Shorten(name, 64), file.size_bytes()));
    }
  }
  return absl::OkStatus();
}

/// One file of a checkpoint on its way.
class FileDownload {
 public:
  FileDownload(const v1::Checkpoint& checkpoint, const v1::CheckpointFile& file, fs::path path)
      : checkpoint_(checkpoint), file_(file), path_(std::move(path)) {}

  /// Opens the file, keeping the prefix an earlier run left.
  absl::Status Open() {
    descriptor_ = base::FileDescriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!descriptor_.valid()) return base::ErrnoStatus(errno, "cannot create", path_);
    struct stat facts {};
    if (::fstat(descriptor_.get(), &facts) != 0)
      return base::ErrnoStatus(errno, "cannot read", path_);
    offset_ = facts.st_size <= file_.size_bytes() ? facts.st_size : 0;
    if (::ftruncate(descriptor_.get(), offset_) != 0 ||
        ::lseek(descriptor_.get(), offset_, SEEK_SET) < 0) {
      return base::ErrnoStatus(errno, "cannot write", path_);
    }
    return absl::OkStatus();
  }

  v1::DownloadCheckpointRequest Request() const {
    v1::DownloadCheckpointRequest request;
    request.set_name(checkpoint_.name());
    request.set_file(file_.name());
    request.set_read_offset(offset_);
    request.set_if_digest_match(checkpoint_.digest());
    return request;
  }

  absl::Status Take(const v1::Chunk& chunk) {
    if (chunk.offset() != offset_ ||
        offset_ + static_cast<int64_t>(chunk.data().size()) > file_.size_bytes()) {
      return Broken(fmt::format("chunk at byte {} where {} was due", chunk.offset(), offset_));
    }
    if (wire::Crc32c(chunk.data()) != chunk.crc32c()) {
      return Broken(fmt::format("CRC-32C differs in the chunk at byte {}", chunk.offset()));
    }
    RETURN_IF_ERROR(base::WriteAll(descriptor_.get(), chunk.data(), path_));
    offset_ += static_cast<int64_t>(chunk.data().size());
    return absl::OkStatus();
  }

  /// After the last byte: syncs and compares. What differs is removed, so that a repeat starts
  /// anew.
  absl::Status Close() {
    if (::fsync(descriptor_.get()) != 0) return base::ErrnoStatus(errno, "cannot sync", path_);
    RETURN_IF_ERROR(descriptor_.Close());
    ASSIGN_OR_RETURN(const std::string sha256, artifact::Sha256File(path_));
    if (sha256 == file_.sha256()) return absl::OkStatus();
    std::error_code ignored;
    fs::remove(path_, ignored);
    return Broken(fmt::format("SHA-256 is {}, not {}", sha256, file_.sha256()));
  }

  bool whole() const { return offset_ == file_.size_bytes(); }
  int64_t offset() const { return offset_; }

 private:
  absl::Status Broken(const std::string& what) const {
    return absl::DataLossError(fmt::format("{} of {}: {}", file_.name(), checkpoint_.name(), what));
  }

  const v1::Checkpoint& checkpoint_;
  const v1::CheckpointFile& file_;
  const fs::path path_;
  base::FileDescriptor descriptor_;
  int64_t offset_ = 0;
};

/// FOLDER.part belongs to one checkpoint, whose digest is in the file .digest beside the bytes. A
/// folder without that file is a download's where it is empty or whole (a crash before the file was
/// written, or after it was removed). Any other folder is somebody else's and is left alone.
absl::Status PrepareFolder(const fs::path& part, const v1::Checkpoint& checkpoint) {
  const fs::path owner = part / ".digest";
  const auto found = base::ReadFile(owner, 1024);
  if (found.ok() && *found == checkpoint.digest()) return absl::OkStatus();
  std::error_code error;
  const fs::file_status kind = fs::symlink_status(part, error);
  if (!found.ok() && fs::exists(kind) && !(fs::is_directory(kind) && fs::is_empty(part, error))) {
    const auto verified = artifact::VerifyCheckpointFolder(part);
    if (!verified.ok() || verified->digest != checkpoint.digest()) {
      return absl::FailedPreconditionError(fmt::format(
          "{} is not a download of bsnnctl: remove it, or choose another folder", part.string()));
    }
    return base::WriteFileDurably(owner, checkpoint.digest());
  }
  fs::remove_all(part, error);
  RETURN_IF_ERROR(base::MakeFolder(part));
  return base::WriteFileDurably(owner, checkpoint.digest());
}

}  // namespace

absl::Status Client::DownloadCheckpoint(const std::string& name, const std::string& folder,
                                        const DownloadCallback& callback) {
  fs::path target = fs::path(folder).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "folder/"
  if (target.empty() || !target.has_filename() || target == "." || target.filename() == "..") {
    return base::InvalidFields({{"folder", "'" + folder + "'", "the name of a new folder"}});
  }
  target = fs::absolute(target);
  const fs::path part = target.string() + ".part";
  if (fs::exists(target)) {
    return absl::AlreadyExistsError(fmt::format("{} exists already", target.string()));
  }
  ASSIGN_OR_RETURN(const v1::Checkpoint checkpoint, GetCheckpoint(name));
  RETURN_IF_ERROR(CheckFiles(checkpoint));
  RETURN_IF_ERROR(PrepareFolder(part, checkpoint));

  DownloadProgress progress{.bytes_done = 0, .bytes_total = checkpoint.size_bytes()};
  for (const v1::CheckpointFile& file : checkpoint.files()) {
    FileDownload download(checkpoint, file, part / file.name());
    RETURN_IF_ERROR(download.Open());
    const int64_t done_before = progress.bytes_done;
    RETURN_IF_ERROR(
        impl_->Resume([&](grpc::ClientContext& context) -> std::pair<absl::Status, bool> {
          if (download.whole()) return {absl::OkStatus(), false};
          auto reader = impl_->checkpoints->DownloadCheckpoint(&context, download.Request());
          v1::DownloadCheckpointResponse reply;
          absl::Status status = absl::OkStatus();
          bool moved = false;
          while (status.ok() && reader->Read(&reply)) {
            moved = true;
            status = download.Take(reply.chunk());
            progress.bytes_done = done_before + download.offset();
            if (status.ok() && !callback(progress))
              status = absl::CancelledError("download stopped");
          }
          if (!status.ok()) context.TryCancel();
          const absl::Status finished = wire::FromGrpc(reader->Finish());
          if (status.ok()) status = finished;
          if (status.ok() && !download.whole())
            status = absl::UnavailableError("the stream ended early");
          return {status, moved};
        }));
    RETURN_IF_ERROR(download.Close());
    progress.bytes_done = done_before + file.size_bytes();
  }
  std::error_code ignored;
  fs::remove(part / ".digest", ignored);
  ASSIGN_OR_RETURN(const auto verified, artifact::VerifyCheckpointFolder(part));
  if (verified.digest != checkpoint.digest()) {
    fs::remove_all(part, ignored);
    return absl::DataLossError(fmt::format("{}: the manifest's digest is {}, not {}", name,
                                           verified.digest, checkpoint.digest()));
  }
  RETURN_IF_ERROR(base::SyncPath(part));
  if (::rename(part.c_str(), target.c_str()) != 0) {
    return base::ErrnoStatus(errno, "cannot rename to", target);
  }
  return base::SyncPath(target.parent_path());
}

}  // namespace bsnn::sdk
