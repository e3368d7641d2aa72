/// The values of commands/types.h, under the scheduler's name for those who call it.
#pragma once

#include <array>
#include <cstdint>

#include "server/cluster/job_states.h"
#include "server/commands/counters.h"
#include "server/commands/types.h"

namespace bsnn::scheduler {

using cluster::CheckpointCursor;
using cluster::HasAttempt;
using cluster::IsFinal;
using cluster::kDevices;
using cluster::kFailureClasses;
using cluster::kJobStates;
using cluster::ToWord;
using commands::Action;
using commands::AttemptOrder;
using commands::AttemptReport;
using commands::CheckpointsPage;
using commands::Committed;
using commands::Counters;
using commands::CreateJobRequest;
using commands::EventBatch;
using commands::Instant;
using commands::JobChange;
using commands::JobView;
using commands::ListJobsPage;
using commands::ListJobsRequest;
using commands::Nothing;
using commands::Observer;
using commands::Options;
using commands::PendingReason;
using commands::Phase;
using commands::Published;
using commands::PublishRequest;
using commands::RegisterWorkerRequest;
using commands::SynchronizeReply;
using commands::SynchronizeRequest;
using commands::UploadSource;
using commands::WorkerState;
using commands::WorkerView;
using store::FailureClass;
using store::JobState;

/// Counts and totals for /metrics, as of one moment.
struct Snapshot {
  Counters counters;
  std::array<int64_t, kJobStates> jobs{};                   ///< by state
  std::array<int64_t, commands::kPendingReasons> queued{};  ///< queued jobs by PendingReason
  std::array<int64_t, commands::kWorkerStates> workers{};   ///< by WorkerState
  double heartbeat_age_seconds_max = -1;  ///< of workers that are not lost; -1 where there is none
  std::array<int64_t, kDevices> slots{};  ///< by device, of workers that are not lost
  std::array<int64_t, kDevices> slots_used{};
};

}  // namespace bsnn::scheduler
