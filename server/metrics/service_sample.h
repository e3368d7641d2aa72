/// What one scrape of /metrics shows, as plain values: gathered by the composition root, so that
/// neither the scheduler nor the API knows Prometheus.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/scheduler/types.h"
#include "server/telemetry/telemetry.h"

namespace bsnn::metrics {

/// Calls that were answered with one code.
struct RpcCount {
  std::string service;  ///< "bsnn.v1.JobService"
  std::string method;   ///< "CreateJob"; "other" pools names the server does not have
  std::string code;     ///< "OK", "NOT_FOUND", ...
  int64_t count = 0;
};

/// Durations in buckets. counts[i] are those at most bounds[i]; the last count is of all beyond.
struct DurationCounts {
  std::vector<double> bounds_seconds;
  std::vector<int64_t> counts;  ///< bounds_seconds.size() + 1
  double sum_seconds = 0;
};

struct ServiceSample {
  scheduler::Snapshot snapshot;
  telemetry::Sample jobs;
  int64_t checkpoint_read_bytes = 0;
  int64_t checkpoint_write_bytes = 0;
  int64_t checkpoint_verify_failures = 0;
  int64_t checkpoint_disk_full = 0;  ///< writes refused for want of room
  DurationCounts commits;
  std::vector<RpcCount> rpcs;
};

}  // namespace bsnn::metrics
