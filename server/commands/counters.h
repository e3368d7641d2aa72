/// Counts since the program started, for /metrics; they only grow.
#pragma once

#include <array>
#include <cstdint>

#include "server/cluster/facts.h"

namespace bsnn::commands {

struct Counters {
  std::array<int64_t, cluster::kJobStates> transitions{};    ///< by the state entered
  std::array<int64_t, cluster::kFailureClasses> restarts{};  ///< by what ended the attempt before
  std::array<int64_t, cluster::kFailureClasses> failures{};  ///< jobs that ended FAILED or EXPIRED
  int64_t leases_expired = 0;
  int64_t events = 0;         ///< taken, repeats not counted
  int64_t events_fenced = 0;  ///< batches refused for an old epoch
  int64_t metric_points = 0;
  int64_t metric_points_dropped = 0;  ///< beyond the limits of a job
  int64_t queue_waits = 0;            ///< placements
  double queue_wait_seconds = 0;      ///< sum over the placements, back-off not counted
};

}  // namespace bsnn::commands
