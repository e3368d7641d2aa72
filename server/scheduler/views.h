/// Facts and sightings as callers see them.
#pragma once

#include <optional>
#include <vector>

#include "server/commands/transaction.h"
#include "server/scheduler/board.h"
#include "server/scheduler/types.h"

namespace bsnn::scheduler {

/// `now` is of the attention clock.
JobView ViewOf(const commands::State& state, const Board& board, absl::Duration now,
               const cluster::Job& job);
WorkerView ViewOf(const commands::State& state, absl::Duration now, const cluster::Worker& worker);

/// O(limit · log of all jobs), whatever the filter.
ListJobsPage ListJobs(const commands::State& state, const Board& board, absl::Duration now,
                      const ListJobsRequest& request);
CheckpointsPage ListCheckpoints(const cluster::Job& job, std::optional<CheckpointCursor> after,
                                int limit);

}  // namespace bsnn::scheduler
