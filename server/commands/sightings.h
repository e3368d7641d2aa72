/// What only this process has seen, and what no restart keeps: when workers called, what they said
/// of their attempts, which places failed.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "base/ids.h"
#include "server/commands/step_clock.h"
#include "server/commands/types.h"
#include "server/policy/health.h"

namespace bsnn::commands {

/// Of a live attempt. Times are of the attention clock.
struct AttemptSighting {
  StepClock step_clock;
  int64_t largest_step = 0;
  bool stepped = false;             ///< it has done a step of its own
  Phase phase = Phase::kPreparing;  ///< as its worker said last
  int64_t events_pending = 0;
  int64_t upload_bytes_left = 0;
  absl::Duration progress_at;  ///< the newest step; once the trainer has ended: the newest upload
};

/// Of a worker.
struct WorkerSighting {
  absl::Duration last_seen;                          ///< it called, or the coordinator started
  absl::Time last_seen_wall = absl::InfinitePast();  ///< it called
  bool confirmed = false;  ///< it has called since the coordinator started
  bool silent = false;     ///< its lease is over
  bool draining = false;
  int64_t newest_number = 0;  ///< of Synchronize
  policy::WorkerHealth health;
};

/// Thread-compatible.
struct Sightings {
  std::map<int64_t, AttemptSighting> attempts;  ///< by the job's sequence
  std::map<base::WorkerId, WorkerSighting> workers;
  std::set<int64_t> overdue;  ///< jobs that have not ended and whose deadline has passed
};

}  // namespace bsnn::commands
