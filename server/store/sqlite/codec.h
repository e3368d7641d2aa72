/// Records as bytes, as they lie in the database's columns from version 2 on.
///
/// One byte of version, then tagged fields (base/tagged_fields.h). Times are nanoseconds since
/// 1970; a time that has not come is absent. Absent fields read as their defaults, so that a newer
/// program reads what an older one wrote. The bytes are frozen by tests/server/store/codec_test.cc.
/// Errors: DataLoss naming the kind of record and the field.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "server/store/records.h"

namespace bsnn::store {

/// What is fixed at creation, but for id, sequence and spec, which have columns of their own.
std::string Encode(const JobRecord& job);
std::string Encode(const JobStatus& status);
std::string Encode(const AttemptRecord& attempt);
std::string Encode(const CheckpointRecord& checkpoint);  ///< without its job
std::string Encode(const WorkerRecord& worker);

/// Without id, sequence, spec and status.
absl::StatusOr<JobRecord> DecodeJob(std::string_view fixed);
absl::StatusOr<JobStatus> DecodeStatus(std::string_view bytes);
absl::StatusOr<AttemptRecord> DecodeAttempt(std::string_view bytes);
absl::StatusOr<CheckpointRecord> DecodeCheckpoint(std::string_view bytes);
absl::StatusOr<WorkerRecord> DecodeWorker(std::string_view bytes);

}  // namespace bsnn::store
