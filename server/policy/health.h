/// When a slot, or a worker's copy of a data set, is not to be trusted for a while.
///
/// Attempts that end before their first step say little of the job and much of the place: a broken
/// driver, an empty data folder. After kFailuresToSuspect of them in a row, of different jobs (one
/// job may be at fault itself), the place is suspect: no attempt is put there until a pause is
/// over, then one (the probe); each probe that fails doubles the pause. An attempt that takes a
/// step clears it. Pure; times are steady.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <string>

namespace bsnn::policy {

struct Health {
  int failures = 0;  ///< in a row, before a first step; a job that fails again counts once
  int64_t last_job = 0;
  absl::Duration probe_at = -absl::InfiniteDuration();
  std::string reason;  ///< of the newest failure, for people

  bool IsTrusted(absl::Duration now) const { return now >= probe_at; }
};

inline constexpr int kFailuresToSuspect = 2;
inline constexpr absl::Duration kFirstPause = absl::Seconds(30);
inline constexpr absl::Duration kPauseMax = absl::Minutes(10);

/// An attempt of `job` there ended before its first step. `failures_to_suspect` is 1 where the
/// failure names the place itself, as a missing data set does.
void AddFailure(Health& health, int64_t job, absl::Duration now, std::string reason,
                int failures_to_suspect = kFailuresToSuspect);

}  // namespace bsnn::policy
