/// One upload of a checkpoint, after gRPC and before the blob store.
///
/// Steps and crash points: (1) Begin checks the fence and publishes the manifest blob, which marks
/// whose files lie beside it; files of another manifest under the same id are removed first.
/// (2) Append adds chunks to staged files: after a crash, what StagedSize gives is still there.
/// (3) Finish verifies and publishes each file, then the catalogue entry; before the entry is
/// durable the checkpoint does not exist. Every step can be repeated.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "artifact/manifest.h"
#include "bsnn/v1/checkpoint.pb.h"
#include "server/api/backend.h"

namespace bsnn::api {

/// Confined to one thread at a time. Methods may wait for the disk.
class UploadSession {
 public:
  explicit UploadSession(Backend& backend) : backend_(backend) {}

  /// What is committed of each file; or `published` where the checkpoint is in the catalogue.
  /// InvalidFields, ATTEMPT_FENCED, JOB_NOT_FOUND, CHECKPOINT_ID_TAKEN.
  absl::StatusOr<v1::UploadCheckpointResponse> Begin(
      const v1::UploadCheckpointRequest::Begin& begin);

  /// OutOfRange with OFFSET_MISMATCH where the chunk does not start at what is committed; DataLoss
  /// with CHECKSUM_MISMATCH where its crc32c is not its data's.
  absl::Status Append(const v1::UploadCheckpointRequest::FileChunk& file_chunk);

  /// FailedPrecondition with UPLOAD_INCOMPLETE; DataLoss with DIGEST_MISMATCH: what was staged of
  /// that file is dropped, begin anew.
  absl::StatusOr<scheduler::Committed<scheduler::Published>> Finish();

  bool begun() const { return begun_; }

 private:
  absl::Status Read(const v1::UploadCheckpointRequest::Begin& begin);
  absl::StatusOr<bool> IsPublished();
  absl::Status ClaimFolder();
  absl::Status CommitFile(const artifact::ManifestFile& file);
  /// Says once in the log that the disk is full, and that it has room again; counts each refusal.
  void NoteRoom(const absl::Status& written);
  blob::Key KeyOf(const std::string& file) const;

  Backend& backend_;
  bool begun_ = false;
  scheduler::UploadSource source_;
  int64_t after_event_sequence_ = 0;
  std::string manifest_text_;
  std::string digest_;
  artifact::Manifest manifest_;
  base::CheckpointId id_;
};

}  // namespace bsnn::api
