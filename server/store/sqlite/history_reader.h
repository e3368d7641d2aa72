/// Reads histories from the database: the readers' half of the adapter.
#pragma once

#include <absl/status/statusor.h>

#include "server/store/history_store.h"
#include "server/store/sqlite/database.h"

namespace bsnn::store {

/// With a filter it looks at a bounded number of points: a page may be short, even empty, and have
/// `more`.
absl::StatusOr<MetricsPage> ReadMetrics(Database& database, const base::JobId& job,
                                        const MetricsQuery& query);
absl::StatusOr<LogsPage> ReadLogs(Database& database, const base::JobId& job,
                                  const LogsQuery& query);

}  // namespace bsnn::store
