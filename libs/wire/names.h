/// Resource names: jobs/{job}, jobs/{job}/checkpoints/{checkpoint}, workers/{worker}.
///
/// Parsing fails with base::InvalidFields naming `field` of the request.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "base/ids.h"

namespace bsnn::wire {

struct CheckpointRef {
  base::JobId job;
  base::CheckpointId checkpoint;
  bool operator==(const CheckpointRef&) const = default;
};

std::string JobName(const base::JobId& job);
std::string WorkerName(const base::WorkerId& worker);
std::string CheckpointName(const base::JobId& job, const base::CheckpointId& checkpoint);

absl::StatusOr<base::JobId> ParseJobName(std::string_view field, std::string_view name);
absl::StatusOr<base::WorkerId> ParseWorkerName(std::string_view field, std::string_view name);
absl::StatusOr<CheckpointRef> ParseCheckpointName(std::string_view field, std::string_view name);

}  // namespace bsnn::wire
