/// The checkpoint catalogue.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>

#include "server/commands/transaction.h"

namespace bsnn::commands {

/// a{epoch}-step-{step:08}.
base::CheckpointId CheckpointIdOf(int32_t attempt_epoch, int64_t step);

/// See the methods of Scheduler with these names.
absl::Status CheckUpload(const cluster::Facts& facts, const UploadSource& source);
absl::StatusOr<Published> RecordCheckpoint(Transaction& tx, const PublishRequest& request);
absl::StatusOr<store::CheckpointRecord> GetCheckpoint(const cluster::Facts& facts,
                                                      const base::JobId& job,
                                                      const base::CheckpointId& checkpoint);
absl::StatusOr<store::CheckpointRecord> PinCheckpoint(Transaction& tx, const base::JobId& job,
                                                      const base::CheckpointId& checkpoint,
                                                      bool pinned);
absl::Status DeleteCheckpoint(Transaction& tx, const base::JobId& job,
                              const base::CheckpointId& checkpoint);

}  // namespace bsnn::commands
