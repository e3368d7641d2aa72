/// The states of a job: one enum (store::JobState), one table, one function, and the diagram of
/// docs/job-states.md, which a test holds to the table.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/store/records.h"

namespace bsnn::cluster {

using store::FailureClass;
using store::JobState;

/// What can happen to a job.
enum class Trigger {
  kPlaced,     ///< an attempt was made on a free slot
  kStarted,    ///< its trainer has reported
  kRetry,      ///< its attempt ended by something a retry may cure, and one is left
  kSucceeded,  ///< its trainer finished and the checkpoint is in the catalogue
  kFailed,     ///< its attempt ended, and no retry may cure it or none is left
  kCancel,     ///< its user asked it to end
  kStopped,    ///< while cancelling: its attempt has ended, or the time for that is over
  kExpired,    ///< scheduling.deadline_seconds has passed
};

struct Transition {
  JobState from;
  Trigger trigger;
  JobState to;
};

/// Every transition there is; a pair of state and trigger is listed at most once.
std::span<const Transition> Transitions();

/// The state after `trigger`, or nothing where the table has no such row.
std::optional<JobState> Next(JobState from, Trigger trigger);

/// SUCCEEDED, FAILED, CANCELLED, EXPIRED: nothing leaves them.
bool IsFinal(JobState state);
/// STARTING, RUNNING, CANCELLING: an attempt of the job is live.
bool HasAttempt(JobState state);

/// Whether a retry may cure it: WORKER_LOST, INFRASTRUCTURE, HANG, DATA_UNAVAILABLE.
bool IsRetryable(FailureClass failure);

/// "QUEUED", and so on, as in the proto.
std::string_view ToWord(JobState state);
std::string_view ToWord(FailureClass failure);

/// The Mermaid state diagram of the table.
std::string MermaidDiagram();

}  // namespace bsnn::cluster
