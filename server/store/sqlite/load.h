/// Reads everything but histories from the database, at the start.
#pragma once

#include <absl/status/statusor.h>

#include "server/store/job_store.h"
#include "server/store/sqlite/database.h"

namespace bsnn::store {

/// DataLoss naming the job or worker whose record cannot be read.
absl::StatusOr<LoadedState> Load(Database& database);

}  // namespace bsnn::store
