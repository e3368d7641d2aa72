#include "server/policy/health.h"

#include <algorithm>
#include <utility>

namespace bsnn::policy {

void AddFailure(Health& health, int64_t job, absl::Duration now, std::string reason,
                int failures_to_suspect) {
  const bool was_suspect = health.failures >= failures_to_suspect;
  if (health.last_job != job || was_suspect) ++health.failures;
  health.last_job = job;
  health.reason = std::move(reason);
  if (health.failures < failures_to_suspect) return;
  const int doublings = std::min(health.failures - failures_to_suspect, 10);
  health.probe_at = now + std::min(kPauseMax, kFirstPause * (1 << doublings));
}

}  // namespace bsnn::policy
