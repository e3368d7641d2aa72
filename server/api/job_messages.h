/// Jobs, metrics and logs between their messages and the scheduler's values.
#pragma once

#include <absl/status/statusor.h>

#include "bsnn/v1/job.pb.h"
#include "server/scheduler/types.h"

namespace bsnn::api {

enum class Detail {
  kBasic,  ///< without spec and attempts
  kFull,
};
/// Fills an empty message where it is: one on an arena cannot be moved into.
void Write(const scheduler::JobView& view, Detail detail, v1::Job& message);
v1::Job ToProto(const scheduler::JobView& view, Detail detail = Detail::kFull);
v1::LogEntry ToProto(const store::LogRecord& record);

/// Checks every field, the spec too. InvalidFields names each that is wrong.
absl::StatusOr<scheduler::CreateJobRequest> FromProto(const v1::CreateJobRequest& request);

/// The answer to validate_only: the job as it would be created, without a name.
v1::Job PreviewOf(const scheduler::CreateJobRequest& request);

}  // namespace bsnn::api
