/// Port: the histories of jobs, by page: the metric points and log lines that trainers reported.
/// They are written in the batches of job_store.h, so that they keep their order with the facts.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "server/store/records.h"

namespace bsnn::store {

struct MetricsQuery {
  int64_t after = 0;  ///< cursor: points that arrived after it; 0 is the beginning
  int limit = 0;      ///< 1 to kMetricPageSizeMax
  std::string name;   ///< only this metric; "" is all
  std::string layer;  ///< only this layer; "" is all
};

struct MetricsPage {
  std::vector<spec::MetricPoint> points;  ///< in the order of arrival
  int64_t cursor = 0;  ///< of the last point, or what was asked where there is none
  bool more = false;   ///< there are points beyond these now
};

struct LogsQuery {
  int64_t after = 0;  ///< cursor: lines that arrived after it; 0 is the beginning
  int limit = 0;      ///< 1 to kMetricPageSizeMax
  int tail = 0;       ///< with `after` 0: start at the last n lines; 0 is all
};

struct LogsPage {
  std::vector<LogRecord> lines;  ///< in the order of arrival
  int64_t cursor = 0;
  bool more = false;
};

/// Thread-safe. A page has at least what was durable when it was asked for. Calls may wait for the
/// disk.
class HistoryStore {
 public:
  virtual ~HistoryStore() = default;

  /// A job that is not there has no points.
  virtual absl::StatusOr<MetricsPage> ListMetrics(const base::JobId& job,
                                                  const MetricsQuery& query) const = 0;
  /// A job that is not there has no lines.
  virtual absl::StatusOr<LogsPage> ListLogs(const base::JobId& job,
                                            const LogsQuery& query) const = 0;
};

}  // namespace bsnn::store
