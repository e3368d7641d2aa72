/// Sends a trainer's checkpoint to the coordinator, resuming where a cut upload stopped.
#pragma once

#include <absl/status/status.h>
#include <grpcpp/channel.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "base/ids.h"
#include "spec/event.h"
#include "worker/agent/attempt.h"
#include "worker/session/call_group.h"

namespace bsnn::session {

struct Upload {
  base::WorkerId worker;
  agent::AttemptKey key;
  std::filesystem::path folder;  ///< the checkpoint's
  spec::CheckpointWritten checkpoint;
  int64_t after_event_sequence = 0;            ///< the coordinator is to have events up to it first
  std::atomic<int64_t>* sent_bytes = nullptr;  ///< counts, where it is not null
  absl::Duration stall_timeout = absl::Minutes(2);  ///< allowed beyond 1 s for each MiB
};

enum class UploadEnd {
  kPublished,  ///< in the coordinator's catalogue, now or before
  kGone,       ///< the trainer has removed the folder
  kDamaged,    ///< what is on disk is not what the trainer reported; retrying cannot help
  kFailed,     ///< `status` is the coordinator's: see FailureOf
};

struct UploadResult {
  UploadEnd end = UploadEnd::kPublished;
  absl::Status status;  ///< OK when published
};

/// One try. All files are opened before anything is sent, so that a folder removed meanwhile does
/// not hurt. What the coordinator has of an earlier try is not sent again.
UploadResult UploadCheckpoint(const std::shared_ptr<grpc::Channel>& channel, const Upload& upload,
                              CallGroup& calls);

}  // namespace bsnn::session
