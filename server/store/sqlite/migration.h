/// From version 1 of the database, whose records were JSON texts. Within the caller's transaction.
#pragma once

#include <absl/status/status.h>

#include "server/store/sqlite/database.h"

namespace bsnn::store {

/// Renames the tables of version 1, so that those of version 2 can be made beside them.
absl::Status SetAsideVersion1(Database& database);

/// Fills the tables of version 2 from those set aside, and removes these. DataLoss naming the job
/// whose record cannot be read.
absl::Status TakeOverVersion1(Database& database);

}  // namespace bsnn::store
