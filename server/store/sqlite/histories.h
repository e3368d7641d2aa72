/// Reads the database: the readers' half of the adapter.
#pragma once

#include <absl/status/statusor.h>

#include "server/store/job_store.h"
#include "server/store/sqlite/database.h"

namespace bsnn::store {

absl::StatusOr<LoadedState> Load(Database& database);
absl::StatusOr<MetricsPage> ReadMetrics(Database& database, const base::JobId& job,
                                        const MetricsQuery& query);
absl::StatusOr<LogsPage> ReadLogs(Database& database, const base::JobId& job,
                                  const LogsQuery& query);

}  // namespace bsnn::store
