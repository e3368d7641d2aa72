/// What users ask of jobs.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "server/commands/transaction.h"

namespace bsnn::commands {

/// See Scheduler::CreateJob. Gives the job's sequence, of the one made before where it is a repeat.
absl::StatusOr<int64_t> CreateJob(Transaction& tx, const CreateJobRequest& request,
                                  bool store_has_room);
absl::Status CancelJob(Transaction& tx, const base::JobId& job, std::string_view etag);
absl::Status DeleteJob(Transaction& tx, const base::JobId& job, std::string_view etag);

absl::StatusOr<const cluster::Job*> GetJob(const cluster::Facts& facts, const base::JobId& job);
std::string EtagOf(const cluster::Job& job);
absl::Status StoreBusy();

}  // namespace bsnn::commands
