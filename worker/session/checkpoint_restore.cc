#include "worker/session/checkpoint_restore.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "artifact/checkpoint_folder.h"
#include "artifact/digest.h"
#include "artifact/manifest.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/status.h"
#include "bsnn/v1/checkpoint.grpc.pb.h"
#include "wire/crc32c.h"
#include "wire/names.h"
#include "wire/status.h"

namespace bsnn::session {
namespace fs = std::filesystem;
namespace {

constexpr absl::Duration kGetDeadline = absl::Seconds(10);
constexpr int kWrongMax = 5;

/// Restores one checkpoint. Confined to its thread.
class Fetch {
 public:
  Fetch(v1::CheckpointService::Stub& stub, const Restore& restore, CallGroup& calls)
      : stub_(stub), restore_(restore), calls_(calls), backoff_(restore.backoff, restore.bits) {}

  absl::StatusOr<fs::path> Run(const base::CheckpointId& checkpoint) {
    name_ = wire::CheckpointName(restore_.job, checkpoint);
    ASSIGN_OR_RETURN(const v1::Checkpoint facts, Get());
    RETURN_IF_ERROR(Check(facts));
    const fs::path fresh = restore_.folder / ".new-restore";
    std::error_code error;
    fs::remove_all(fresh, error);
    RETURN_IF_ERROR(Local(base::MakeFolder(fresh)));
    RETURN_IF_ERROR(Local(restore_.check_free(static_cast<uint64_t>(facts.size_bytes()))));
    for (const v1::CheckpointFile& file : facts.files()) {
      RETURN_IF_ERROR(FetchFile(file, facts.digest(), fresh / file.name()));
    }
    ASSIGN_OR_RETURN(const auto verified, artifact::VerifyCheckpointFolder(fresh));
    if (verified.digest != facts.digest()) {
      return absl::DataLossError(fmt::format("its manifest has digest {}, the catalogue says {}",
                                             verified.digest, facts.digest()));
    }
    const fs::path path = restore_.folder / artifact::CheckpointFolderName(verified.manifest.step);
    RETURN_IF_ERROR(Local(base::SyncPath(fresh)));
    if (::rename(fresh.c_str(), path.c_str()) != 0) {
      return Local(base::ErrnoStatus(errno, "cannot rename to", path));
    }
    RETURN_IF_ERROR(Local(base::SyncPath(restore_.folder)));
    return path;
  }

  /// Not OK where the failure was this host's: there is no use in an older checkpoint then.
  const absl::Status& local() const { return local_; }

 private:
  absl::Status Local(absl::Status status) {
    if (!status.ok()) local_ = status;
    return status;
  }

  /// Whether to try the call again, after a wait. Cancellation is this host's wish.
  bool Again(const absl::Status& status) {
    if (calls_.cancelled()) {
      local_ = absl::CancelledError("the attempt was ended");
      return false;
    }
    if (!base::IsRetryable(status)) return false;
    if (calls_.Wait(backoff_.Next())) return true;
    local_ = absl::CancelledError("the attempt was ended");
    return false;
  }

  absl::StatusOr<v1::Checkpoint> Get() {
    v1::GetCheckpointRequest request;
    request.set_name(name_);
    while (true) {
      v1::Checkpoint facts;
      absl::Status status;
      {
        CallGroup::Scope scope(calls_, kGetDeadline);
        status = wire::FromGrpc(stub_.GetCheckpoint(&scope.context(), request, &facts));
      }
      if (status.ok()) {
        backoff_.Reset();
        return facts;
      }
      if (!Again(status)) return status;
    }
  }

  absl::Status Check(const v1::Checkpoint& facts) const {
    if (facts.files_size() < 1 || facts.files_size() > base::kCheckpointFilesMax + 1) {
      return absl::DataLossError(fmt::format("it has {} files (allowed: 1 to {})",
                                             facts.files_size(), base::kCheckpointFilesMax + 1));
    }
    for (const v1::CheckpointFile& file : facts.files()) {
      if (file.name() != artifact::kManifestName && !artifact::IsFileName(file.name())) {
        return absl::DataLossError("it names a file that is none of a checkpoint");
      }
      if (file.size_bytes() < 0 ||
          static_cast<uint64_t>(file.size_bytes()) > base::kCheckpointFileBytesMax) {
        return absl::DataLossError(fmt::format("its file {} has {} bytes (allowed: at most {})",
                                               file.name(), file.size_bytes(),
                                               base::kCheckpointFileBytesMax));
      }
    }
    return absl::OkStatus();
  }

  absl::Status FetchFile(const v1::CheckpointFile& facts, const std::string& digest,
                         const fs::path& path) {
    const base::FileDescriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file.valid()) return Local(base::ErrnoStatus(errno, "cannot create", path));
    artifact::Sha256 sha256;
    int64_t offset = 0;
    while (true) {
      const int64_t before = offset;
      const absl::Status status = Stream(facts, digest, file.get(), path, sha256, offset);
      if (!local_.ok()) return local_;
      if (status.ok() && offset == facts.size_bytes()) break;
      if (offset > before) backoff_.Reset();
      // A stream that is wrong without being cut is given a few chances, an absent server all.
      if ((status.ok() || absl::IsAborted(status)) && ++wrong_ == kWrongMax) {
        return absl::DataLossError(
            fmt::format("{}: {}", facts.name(),
                        status.ok() ? "its stream ends early" : std::string(status.message())));
      }
      const absl::Status cut = status.ok() ? absl::AbortedError("ended early") : status;
      if (!Again(cut)) return cut;
    }
    if (sha256.FinishHex() != facts.sha256()) {
      return absl::DataLossError(fmt::format("{} does not match its SHA-256", facts.name()));
    }
    if (::fsync(file.get()) != 0) return Local(base::ErrnoStatus(errno, "cannot sync", path));
    return absl::OkStatus();
  }

  /// One download call from `offset` on; advances it by what has been written.
  absl::Status Stream(const v1::CheckpointFile& facts, const std::string& digest, int file,
                      const fs::path& path, artifact::Sha256& sha256, int64_t& offset) {
    v1::DownloadCheckpointRequest request;
    request.set_name(name_);
    request.set_file(facts.name());
    request.set_read_offset(offset);
    request.set_if_digest_match(digest);
    CallGroup::Scope scope(calls_,
                           restore_.stall_timeout + absl::Seconds(facts.size_bytes() >> 20));
    const auto reader = stub_.DownloadCheckpoint(&scope.context(), request);
    v1::DownloadCheckpointResponse response;
    absl::Status fault;
    while (fault.ok() && reader->Read(&response)) {
      const v1::Chunk& chunk = response.chunk();
      const auto size = static_cast<int64_t>(chunk.data().size());
      if (size == 0) continue;
      if (chunk.offset() != offset || size > facts.size_bytes() - offset) {
        fault = absl::DataLossError(fmt::format("{}: a chunk at {} of {} bytes came at {}",
                                                facts.name(), chunk.offset(), size, offset));
      } else if (wire::Crc32c(chunk.data()) != chunk.crc32c()) {
        // Perhaps damaged on its way: worth asking again.
        fault = absl::AbortedError("a chunk does not match its CRC-32C");
      } else {
        fault = Local(base::WriteAll(file, chunk.data(), path));
        if (!fault.ok()) break;
        sha256.Update(chunk.data());
        offset += size;
      }
    }
    if (!fault.ok()) scope.context().TryCancel();
    const absl::Status status = wire::FromGrpc(reader->Finish());
    return fault.ok() ? status : fault;
  }

  v1::CheckpointService::Stub& stub_;
  const Restore& restore_;
  CallGroup& calls_;
  base::Backoff backoff_;
  std::string name_;
  int wrong_ = 0;  ///< streams that ended early or held a damaged chunk
  absl::Status local_;
};

}  // namespace

absl::StatusOr<fs::path> RestoreNewest(const std::shared_ptr<grpc::Channel>& channel,
                                       const Restore& restore, CallGroup& calls) {
  const auto stub = v1::CheckpointService::NewStub(channel);
  for (const base::CheckpointId& checkpoint : restore.checkpoints) {
    Fetch fetch(*stub, restore, calls);
    auto path = fetch.Run(checkpoint);
    if (path.ok()) return path;
    if (!fetch.local().ok()) return fetch.local();
    restore.warn(fmt::format("checkpoint {} was passed over: {}", checkpoint.value(),
                             std::string(path.status().message())));
  }
  std::error_code error;
  fs::remove_all(restore.folder / ".new-restore", error);
  return fs::path();
}

}  // namespace bsnn::session
