#include "server/api/upload_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "artifact/digest.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/logging.h"
#include "base/status.h"
#include "server/api/blob_files.h"
#include "server/api/checkpoint_messages.h"
#include "server/api/request_check.h"
#include "wire/crc32c.h"
#include "wire/names.h"

namespace bsnn::api {
namespace {

absl::Status Field(std::string field, std::string value, std::string allowed) {
  return base::InvalidFields({{std::move(field), base::Shorten(value, 128), std::move(allowed)}});
}

absl::Status Damaged(const std::string& file, int64_t offset) {
  return base::WithReason(absl::DataLossError(fmt::format(
                              "the chunk of {} at {} does not match its crc32c", file, offset)),
                          {"CHECKSUM_MISMATCH", {{"file", file}}});
}

absl::Status WrongOffset(const std::string& file, int64_t offset, uint64_t committed) {
  return base::WithReason(
      absl::OutOfRangeError(fmt::format("the chunk of {} starts at {}, committed are {} bytes",
                                        file, offset, committed)),
      {"OFFSET_MISMATCH", {{"file", file}, {"committed_bytes", std::to_string(committed)}}});
}

absl::Status Incomplete(const std::string& file, uint64_t committed, uint64_t size) {
  return base::WithReason(
      absl::FailedPreconditionError(
          fmt::format("{} of {} bytes of {} are committed", committed, size, file)),
      {"UPLOAD_INCOMPLETE", {{"file", file}, {"committed_bytes", std::to_string(committed)}}});
}

}  // namespace

blob::Key UploadSession::KeyOf(const std::string& file) const {
  return FileKey(source_.job, id_, file);
}

absl::Status UploadSession::Read(const v1::UploadCheckpointRequest::Begin& begin) {
  RequestCheck check;
  source_.worker = check.Take(wire::ParseWorkerName("worker", begin.worker()), "begin.");
  source_.job = check.Take(wire::ParseJobName("job", begin.job()), "begin.");
  source_.attempt_epoch = begin.attempt_epoch();
  check.Require(begin.attempt_epoch() >= 1, "begin.attempt_epoch",
                std::to_string(begin.attempt_epoch()), "at least 1");
  check.Require(begin.after_event_sequence() >= 0, "begin.after_event_sequence",
                std::to_string(begin.after_event_sequence()), "at least 0");
  auto manifest = artifact::ParseManifest(begin.manifest());
  if (!manifest.ok()) {
    check.Add("begin.manifest", std::string(manifest.status().message()),
              "the bytes of a checkpoint's manifest.json");
  } else {
    check.Require(manifest->files.size() < base::kCheckpointFilesMax, "begin.manifest",
                  fmt::format("{} files", manifest->files.size()),
                  fmt::format("fewer than {}", base::kCheckpointFilesMax));
  }
  if (!check.ok()) return check.status();
  after_event_sequence_ = begin.after_event_sequence();
  manifest_ = *std::move(manifest);
  manifest_text_ = begin.manifest();
  digest_ = artifact::Sha256Hex(manifest_text_);
  id_ = scheduler::Scheduler::CheckpointIdOf(source_.attempt_epoch, manifest_.step);
  return absl::OkStatus();
}

absl::StatusOr<bool> UploadSession::IsPublished() {
  const auto record = backend_.scheduler.GetCheckpoint(source_.job, id_);
  if (absl::IsNotFound(record.status())) return false;
  RETURN_IF_ERROR(record.status());
  if (record->digest == digest_) return true;
  return base::WithReason(
      absl::AlreadyExistsError(fmt::format("checkpoint {} of job {} is published with digest {}",
                                           id_.value(), source_.job.value(), record->digest)),
      {"CHECKPOINT_ID_TAKEN", {{"checkpoint", id_.value()}, {"digest", record->digest}}});
}

absl::Status UploadSession::ClaimFolder() {
  const blob::Key key = KeyOf(artifact::kManifestName);
  const auto facts = backend_.blobs.Stat(key);
  if (!facts.ok() && !absl::IsNotFound(facts.status())) return facts.status();
  if (facts.ok() && facts->published) {
    ASSIGN_OR_RETURN(const std::string held, backend_.blobs.Read(key, 0, base::kManifestBytesMax));
    if (held == manifest_text_) return absl::OkStatus();
  }
  RETURN_IF_ERROR(backend_.blobs.Delete(CheckpointKey(source_.job, id_)));
  RETURN_IF_ERROR(backend_.blobs.Append(key, 0, manifest_text_).status());
  return backend_.blobs.Commit(key, manifest_text_.size(), digest_);
}

absl::StatusOr<v1::UploadCheckpointResponse> UploadSession::Begin(
    const v1::UploadCheckpointRequest::Begin& begin) {
  RETURN_IF_ERROR(Read(begin));
  RETURN_IF_ERROR(backend_.scheduler.CheckUpload(backend_.Now(), source_));
  v1::UploadCheckpointResponse reply;
  ASSIGN_OR_RETURN(const bool published, IsPublished());
  if (published) {
    ASSIGN_OR_RETURN(const auto record, backend_.scheduler.GetCheckpoint(source_.job, id_));
    *reply.mutable_published() = ToProto(record);
    return reply;
  }
  RETURN_IF_ERROR(ClaimFolder());
  for (const auto& file : manifest_.files) {
    ASSIGN_OR_RETURN(const uint64_t committed, backend_.blobs.StagedSize(KeyOf(file.name)));
    auto& added = *reply.add_committed();
    added.set_file(file.name);
    added.set_committed_bytes(static_cast<int64_t>(committed));
  }
  begun_ = true;
  return reply;
}

absl::Status UploadSession::Append(const v1::UploadCheckpointRequest::FileChunk& file_chunk) {
  const v1::Chunk& chunk = file_chunk.chunk();
  const auto file = std::find_if(manifest_.files.begin(), manifest_.files.end(),
                                 [&](const auto& item) { return item.name == file_chunk.file(); });
  if (file == manifest_.files.end()) {
    return Field("file_chunk.file", "'" + file_chunk.file() + "'", "a name of the manifest");
  }
  if (chunk.data().empty() || chunk.data().size() > base::kChunkBytes) {
    return Field("file_chunk.chunk.data", fmt::format("{} bytes", chunk.data().size()),
                 fmt::format("1 to {} bytes", base::kChunkBytes));
  }
  if (chunk.offset() < 0 || static_cast<uint64_t>(chunk.offset()) > file->size_bytes ||
      chunk.data().size() > file->size_bytes - static_cast<uint64_t>(chunk.offset())) {
    return Field("file_chunk.chunk.offset",
                 fmt::format("{} with {} bytes", chunk.offset(), chunk.data().size()),
                 fmt::format("inside the {} bytes of {}", file->size_bytes, file->name));
  }
  if (wire::Crc32c(chunk.data()) != chunk.crc32c()) {
    ++backend_.stats.checkpoint_verify_failures;
    return Damaged(file->name, chunk.offset());
  }
  RETURN_IF_ERROR(backend_.scheduler.CheckUpload(backend_.Now(), source_));
  const blob::Key key = KeyOf(file->name);
  ASSIGN_OR_RETURN(const uint64_t committed, backend_.blobs.StagedSize(key));
  if (committed != static_cast<uint64_t>(chunk.offset())) {
    return WrongOffset(file->name, chunk.offset(), committed);
  }
  const absl::Status appended = backend_.blobs.Append(key, committed, chunk.data()).status();
  NoteRoom(appended);
  RETURN_IF_ERROR(appended);
  backend_.stats.checkpoint_write_bytes += static_cast<int64_t>(chunk.data().size());
  return absl::OkStatus();
}

absl::Status UploadSession::CommitFile(const artifact::ManifestFile& file) {
  const blob::Key key = KeyOf(file.name);
  ASSIGN_OR_RETURN(const uint64_t committed, backend_.blobs.StagedSize(key));
  if (committed < file.size_bytes) return Incomplete(file.name, committed, file.size_bytes);
  const absl::Status status = backend_.blobs.Commit(key, file.size_bytes, file.sha256);
  if (absl::IsDataLoss(status)) ++backend_.stats.checkpoint_verify_failures;
  NoteRoom(status);
  return status;
}

void UploadSession::NoteRoom(const absl::Status& written) {
  ApiStats& stats = backend_.stats;
  if (written.ok()) {
    if (stats.disk_is_full && stats.disk_is_full.exchange(false)) {
      base::LogInfo("event=checkpoint_disk_has_room");
    }
    return;
  }
  if (base::ReasonOf(written).reason != base::kDiskFull) return;
  ++stats.checkpoint_disk_full;
  if (stats.disk_is_full.exchange(true)) return;
  base::LogError(fmt::format("event=checkpoint_disk_full job={} checkpoint={} error=\"{}\"",
                             source_.job.value(), id_.value(), std::string(written.message())));
}

absl::StatusOr<scheduler::Committed<scheduler::Published>> UploadSession::Finish() {
  scheduler::PublishRequest request;
  request.source = source_;
  request.step = manifest_.step;
  request.epoch = manifest_.epoch;
  request.digest = digest_;
  request.accuracy_ratio = manifest_.accuracy_ratio;
  request.after_event_sequence = after_event_sequence_;
  request.files.push_back(
      {artifact::kManifestName, static_cast<int64_t>(manifest_text_.size()), digest_});
  for (const auto& file : manifest_.files) {
    RETURN_IF_ERROR(CommitFile(file));
    request.files.push_back({file.name, static_cast<int64_t>(file.size_bytes), file.sha256});
  }
  return backend_.scheduler.RecordCheckpoint(backend_.Now(), request);
}

}  // namespace bsnn::api
