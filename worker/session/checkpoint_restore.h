/// Fetches the newest checkpoint that verifies, so that a trainer can go on from it.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <grpcpp/channel.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/retry.h"
#include "worker/session/call_group.h"

namespace bsnn::session {

struct Restore {
  base::JobId job;
  std::vector<base::CheckpointId> checkpoints;      ///< newest first
  std::filesystem::path folder;                     ///< gets step-NNNNNNNN; is there
  absl::Duration stall_timeout = absl::Minutes(2);  ///< allowed beyond 1 s for each MiB
  base::BackoffOptions backoff = {};
  base::RandomBits bits;
  /// An error where the disk has no room for so many bytes more.
  std::function<absl::Status(uint64_t)> check_free;
  /// Told of each checkpoint that was passed over, and why.
  std::function<void(const std::string&)> warn;
};

/// The folder of the restored checkpoint; "" where none of them verified, or none was named.
///
/// While the coordinator is away it waits and resumes each file where it stopped. A checkpoint that
/// is gone, refused, answers DATA_LOSS or does not verify here is passed over. Errors: Cancelled
/// with the group; what the disk answers.
absl::StatusOr<std::filesystem::path> RestoreNewest(const std::shared_ptr<grpc::Channel>& channel,
                                                    const Restore& restore, CallGroup& calls);

}  // namespace bsnn::session
