#include "server/cluster/job_states.h"

#include <fmt/format.h>

#include <array>

#include "base/check.h"

namespace bsnn::cluster {
namespace {

using S = JobState;
using T = Trigger;

constexpr Transition kTransitions[] = {
    {S::kQueued, T::kPlaced, S::kStarting},         {S::kQueued, T::kCancel, S::kCancelled},
    {S::kQueued, T::kExpired, S::kExpired},         {S::kStarting, T::kStarted, S::kRunning},
    {S::kStarting, T::kRetry, S::kQueued},          {S::kStarting, T::kSucceeded, S::kSucceeded},
    {S::kStarting, T::kFailed, S::kFailed},         {S::kStarting, T::kCancel, S::kCancelling},
    {S::kStarting, T::kExpired, S::kExpired},       {S::kRunning, T::kRetry, S::kQueued},
    {S::kRunning, T::kSucceeded, S::kSucceeded},    {S::kRunning, T::kFailed, S::kFailed},
    {S::kRunning, T::kCancel, S::kCancelling},      {S::kRunning, T::kExpired, S::kExpired},
    {S::kCancelling, T::kSucceeded, S::kSucceeded}, {S::kCancelling, T::kStopped, S::kCancelled},
};

constexpr std::array<std::string_view, 8> kTriggerWords = {
    "placed", "started", "retry", "succeeded", "failed", "cancel", "stopped", "expired"};

}  // namespace

std::span<const Transition> Transitions() { return kTransitions; }

std::optional<JobState> Next(JobState from, Trigger trigger) {
  for (const Transition& row : kTransitions) {
    if (row.from == from && row.trigger == trigger) return row.to;
  }
  return std::nullopt;
}

bool IsFinal(JobState state) {
  return state == S::kSucceeded || state == S::kFailed || state == S::kCancelled ||
         state == S::kExpired;
}

bool HasAttempt(JobState state) {
  return state == S::kStarting || state == S::kRunning || state == S::kCancelling;
}

bool IsRetryable(FailureClass failure) {
  return failure == FailureClass::kWorkerLost || failure == FailureClass::kInfrastructure ||
         failure == FailureClass::kHang || failure == FailureClass::kDataUnavailable;
}

std::string_view ToWord(JobState state) {
  switch (state) {
    case S::kQueued:
      return "QUEUED";
    case S::kStarting:
      return "STARTING";
    case S::kRunning:
      return "RUNNING";
    case S::kPreempting:
      return "PREEMPTING";
    case S::kPausing:
      return "PAUSING";
    case S::kPaused:
      return "PAUSED";
    case S::kCancelling:
      return "CANCELLING";
    case S::kSucceeded:
      return "SUCCEEDED";
    case S::kFailed:
      return "FAILED";
    case S::kCancelled:
      return "CANCELLED";
    case S::kExpired:
      return "EXPIRED";
  }
  BSNN_CHECK(false);
}

std::string_view ToWord(FailureClass failure) {
  switch (failure) {
    case FailureClass::kNone:
      return "NONE";
    case FailureClass::kUserError:
      return "USER_ERROR";
    case FailureClass::kWorkerLost:
      return "WORKER_LOST";
    case FailureClass::kPreempted:
      return "PREEMPTED";
    case FailureClass::kInfrastructure:
      return "INFRASTRUCTURE";
    case FailureClass::kHang:
      return "HANG";
    case FailureClass::kDeadline:
      return "DEADLINE";
    case FailureClass::kDataUnavailable:
      return "DATA_UNAVAILABLE";
  }
  BSNN_CHECK(false);
}

std::string MermaidDiagram() {
  std::string text = "stateDiagram-v2\n  [*] --> QUEUED\n";
  for (const Transition& row : kTransitions) {
    text += fmt::format("  {} --> {}: {}\n", ToWord(row.from), ToWord(row.to),
                        kTriggerWords.at(static_cast<size_t>(row.trigger)));
  }
  for (const JobState state : {S::kSucceeded, S::kFailed, S::kCancelled, S::kExpired}) {
    text += fmt::format("  {} --> [*]\n", ToWord(state));
  }
  return text;
}

}  // namespace bsnn::cluster
