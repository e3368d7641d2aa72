/// The database's layout: makes it, migrates it, and refuses files that are not ours.
#pragma once

#include <absl/status/status.h>

#include <string>

#include "server/store/sqlite/database.h"

namespace bsnn::store {

inline constexpr int kSchemaVersion = 2;              ///< `PRAGMA user_version`
inline constexpr int kApplicationId = 0x62'73'6e'6e;  ///< `PRAGMA application_id`: "bsnn"

/// Makes `database` one of this program's version, in one transaction, and sets it up for writing.
/// FailedPrecondition for a database of another program or of a newer one, and where the file
/// system has no WAL; DataLoss for what cannot be migrated. `path` is for messages.
absl::Status PrepareDatabase(Database& database, const std::string& path);

}  // namespace bsnn::store
