#include "server/api/order_verifier.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/logging.h"
#include "server/api/blob_files.h"

namespace bsnn::api {
namespace {

// Verdicts of attempts that never reached a worker; far beyond what is under way at once.
constexpr size_t kVerdictsMax = 100'000;

bool Reports(const std::vector<scheduler::AttemptReport>& reported,
             const scheduler::AttemptOrder& order) {
  return std::any_of(reported.begin(), reported.end(), [&](const auto& report) {
    return report.job == order.job && report.epoch == order.epoch;
  });
}

}  // namespace

bool OrderVerifier::Apply(Backend& backend, const std::vector<scheduler::AttemptReport>& reported,
                          scheduler::SynchronizeReply& reply) {
  const size_t before = reply.orders.size();
  std::erase_if(reply.orders, [&](scheduler::AttemptOrder& order) {
    if (order.action != scheduler::Action::kRun || order.checkpoints.empty()) return false;
    if (Reports(reported, order)) {
      absl::MutexLock lock(&mutex_);
      verdicts_.erase({order.job, order.epoch});
      return false;
    }
    return !TryFilter(backend, order);
  });
  return reply.orders.size() != before;
}

bool OrderVerifier::TryFilter(Backend& backend, scheduler::AttemptOrder& order) {
  const AttemptKey attempt(order.job, order.epoch);
  {
    absl::MutexLock lock(&mutex_);
    const auto found = verdicts_.find(attempt);
    if (found != verdicts_.end()) {
      if (!found->second.done) return false;
      std::erase_if(order.checkpoints,
                    [&](const auto& id) { return found->second.bad.contains(id); });
      return true;
    }
    if (verdicts_.size() >= kVerdictsMax) verdicts_.clear();
    verdicts_[attempt];
  }
  const bool taken =
      backend.disk.TrySubmit([this, &backend, attempt, checkpoints = order.checkpoints] {
        Verify(backend, attempt, checkpoints);
      });
  if (!taken) {
    absl::MutexLock lock(&mutex_);
    verdicts_.erase(attempt);
  }
  return false;
}

void OrderVerifier::Verify(Backend& backend, const AttemptKey& attempt,
                           const Checkpoints& checkpoints) {
  Verdict verdict;
  verdict.done = true;
  for (const base::CheckpointId& id : checkpoints) {
    const auto record = backend.scheduler.GetCheckpoint(attempt.first, id);
    const absl::Status status =
        record.ok() ? VerifyStored(backend.blobs, *record) : record.status();
    if (status.ok()) break;  // the worker takes the first; what lies behind is its reserve
    verdict.bad.insert(id);
    if (absl::IsDataLoss(status)) ++backend.stats.checkpoint_verify_failures;
    base::LogError(fmt::format("checkpoint is not offered job={} checkpoint={} error=\"{}\"",
                               attempt.first.value(), id.value(), status.ToString()));
  }
  absl::MutexLock lock(&mutex_);
  verdicts_[attempt] = std::move(verdict);
}

}  // namespace bsnn::api
