/// Records as JSON texts, as they lie in the database's columns.
///
/// Times are nanoseconds since 1970; a time that has not come is null. A number that JSON does not
/// have is null as well and reads as NaN. Absent fields read as their defaults, so that a newer
/// program reads what an older one wrote. Errors: DataLoss naming the kind of record.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "server/store/records.h"

namespace bsnn::store {

/// The part of a job that is fixed at creation.
std::string ToText(const JobRecord& job);
std::string ToText(const JobStatus& status);
std::string ToText(const AttemptRecord& attempt);
std::string ToText(const CheckpointRecord& checkpoint);
std::string ToText(const WorkerRecord& worker);

absl::StatusOr<JobRecord> ReadJob(std::string_view fixed, std::string_view status);
absl::StatusOr<AttemptRecord> ReadAttempt(std::string_view text);
absl::StatusOr<CheckpointRecord> ReadCheckpoint(std::string_view text);
absl::StatusOr<WorkerRecord> ReadWorker(std::string_view text);

}  // namespace bsnn::store
