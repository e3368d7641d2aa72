// begin(manifest) -> committed bytes of each file -> the rest of each, in its chunks -> finish ->
// published. A cut anywhere leaves the coordinator with a prefix of each file, from which the next
// try goes on. After publication begin is answered with published at once.
#include "worker/session/checkpoint_upload.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <utility>
#include <vector>

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
namespace {

using Stream = grpc::ClientReaderWriter<v1::UploadCheckpointRequest, v1::UploadCheckpointResponse>;

struct OpenFile {
  std::string name;
  uint64_t size_bytes = 0;
  base::FileDescriptor file;
};

struct OpenCheckpoint {
  std::string manifest_text;
  std::vector<OpenFile> files;
  uint64_t size_bytes = 0;
};

absl::StatusOr<OpenCheckpoint> Open(const Upload& upload) {
  OpenCheckpoint open;
  ASSIGN_OR_RETURN(open.manifest_text, base::ReadFile(upload.folder / artifact::kManifestName,
                                                      base::kManifestBytesMax));
  const std::string digest = artifact::Sha256Hex(open.manifest_text);
  if (digest != upload.checkpoint.digest) {
    return absl::DataLossError(fmt::format("{} has digest {}, the trainer reported {}",
                                           upload.folder.string(), digest,
                                           upload.checkpoint.digest));
  }
  ASSIGN_OR_RETURN(const artifact::Manifest manifest, artifact::ParseManifest(open.manifest_text));
  for (const artifact::ManifestFile& file : manifest.files) {
    const auto path = upload.folder / file.name;
    base::FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!descriptor.valid()) return base::ErrnoStatus(errno, "cannot open", path);
    open.size_bytes += file.size_bytes;
    open.files.push_back({file.name, file.size_bytes, std::move(descriptor)});
  }
  return open;
}

/// Reads exactly `size` bytes at `offset`.
absl::Status ReadAt(const OpenFile& file, uint64_t offset, size_t size, std::string& bytes) {
  bytes.resize(size);
  size_t have = 0;
  while (have < size) {
    const ssize_t count = ::pread(file.file.get(), bytes.data() + have, size - have,
                                  static_cast<off_t>(offset + have));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus(errno, "cannot read", file.name);
    if (count == 0) {
      return absl::DataLossError(
          fmt::format("{} ends before its {} bytes", file.name, file.size_bytes));
    }
    have += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

v1::UploadCheckpointRequest MakeBegin(const Upload& upload, const std::string& manifest) {
  v1::UploadCheckpointRequest request;
  auto& begin = *request.mutable_begin();
  begin.set_worker(wire::WorkerName(upload.worker));
  begin.set_job(wire::JobName(upload.key.job));
  begin.set_attempt_epoch(upload.key.epoch);
  begin.set_manifest(manifest);
  begin.set_after_event_sequence(upload.after_event_sequence);
  return request;
}

/// False: the stream has broken; its status says why.
absl::StatusOr<bool> SendFile(const OpenFile& file, uint64_t committed,
                              std::atomic<int64_t>* sent_bytes, Stream& stream) {
  if (sent_bytes != nullptr) *sent_bytes += static_cast<int64_t>(committed);
  v1::UploadCheckpointRequest request;
  auto& chunk_of_file = *request.mutable_file_chunk();
  chunk_of_file.set_file(file.name);
  auto& chunk = *chunk_of_file.mutable_chunk();
  for (uint64_t offset = committed; offset < file.size_bytes;) {
    const auto size =
        static_cast<size_t>(std::min<uint64_t>(base::kChunkBytes, file.size_bytes - offset));
    RETURN_IF_ERROR(ReadAt(file, offset, size, *chunk.mutable_data()));
    chunk.set_offset(static_cast<int64_t>(offset));
    chunk.set_crc32c(wire::Crc32c(chunk.data()));
    if (!stream.Write(request)) return false;
    offset += size;
    if (sent_bytes != nullptr) *sent_bytes += static_cast<int64_t>(size);
  }
  return true;
}

/// Sends everything after begin. OK also where the stream broke: its status decides.
absl::Status SendRest(const OpenCheckpoint& open, const v1::UploadCheckpointResponse& answer,
                      std::atomic<int64_t>* sent_bytes, Stream& stream) {
  std::map<std::string, int64_t> committed;
  for (const auto& entry : answer.committed()) committed[entry.file()] = entry.committed_bytes();
  for (const OpenFile& file : open.files) {
    const int64_t have = committed[file.name];
    if (have < 0 || static_cast<uint64_t>(have) > file.size_bytes) {
      return absl::DataLossError(fmt::format("the coordinator has {} bytes of {} (its size: {})",
                                             have, file.name, file.size_bytes));
    }
    ASSIGN_OR_RETURN(const bool whole,
                     SendFile(file, static_cast<uint64_t>(have), sent_bytes, stream));
    if (!whole) return absl::OkStatus();
  }
  v1::UploadCheckpointRequest finish;
  finish.set_finish(true);
  stream.WriteLast(finish, grpc::WriteOptions());
  return absl::OkStatus();
}

}  // namespace

UploadResult UploadCheckpoint(const std::shared_ptr<grpc::Channel>& channel, const Upload& upload,
                              CallGroup& calls) {
  const auto open = Open(upload);
  if (absl::IsNotFound(open.status())) return {UploadEnd::kGone, open.status()};
  if (!open.ok()) return {UploadEnd::kDamaged, open.status()};

  const auto mebibytes = static_cast<int64_t>(open->size_bytes >> 20);
  CallGroup::Scope scope(calls, upload.stall_timeout + absl::Seconds(mebibytes));
  const auto stub = v1::CheckpointService::NewStub(channel);
  const auto stream = stub->UploadCheckpoint(&scope.context());
  v1::UploadCheckpointResponse answer;
  bool published = false;
  absl::Status local;
  if (stream->Write(MakeBegin(upload, open->manifest_text)) && stream->Read(&answer)) {
    published = answer.has_published();
    if (!published) local = SendRest(*open, answer, upload.sent_bytes, *stream);
    if (!local.ok()) scope.context().TryCancel();
    while (stream->Read(&answer)) published |= answer.has_published();
  }
  if (published) scope.context().TryCancel();
  const absl::Status status = wire::FromGrpc(stream->Finish());
  if (published) return {};
  if (!local.ok()) return {UploadEnd::kDamaged, local};
  if (!status.ok()) return {UploadEnd::kFailed, status};
  return {UploadEnd::kFailed,
          absl::UnavailableError("the upload ended without an answer to finish")};
}

}  // namespace bsnn::session
