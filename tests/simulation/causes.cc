#include "tests/simulation/causes.h"

#include <fmt/format.h>

#include "server/cluster/job_states.h"

namespace bsnn::simulation {

using store::FailureClass;

void Causes::CoordinatorStarted() {
  // Every worker gets a lease anew.
  for (auto& [worker, heard] : heard_) heard = attention_;
}

void Causes::Tell(std::string line) {
  constexpr size_t kLines = 40;
  for (const char c : line) hash_ = (hash_ ^ static_cast<uint8_t>(c)) * 1099511628211u;
  story_.push_back(std::move(line));
  if (story_.size() > kLines) story_.pop_front();
}

bool Causes::IsCaused(const AttemptId& id, const store::AttemptRecord& attempt) const {
  const std::string& worker = attempt.worker.value();
  const bool crashed = crashes_.contains(worker);
  const auto heard = heard_.find(worker);
  // A lease of the coordinator's attention, less what passes between two looks at it.
  const bool silent = heard == heard_.end() || attention_ - heard->second >= lease_ * 0.8;
  switch (attempt.failure_class) {
    case FailureClass::kNone:
    case FailureClass::kDeadline:
      return true;
    case FailureClass::kUserError:
      return erred_.contains(id);
    case FailureClass::kWorkerLost:
      return crashed || silent;
    case FailureClass::kInfrastructure:
      return died_.contains(id) || crashed;
    case FailureClass::kHang:
      // A trainer whose worker crashed, or whose events do not come through, steps no more.
      return hung_.contains(id) || crashed || silent;
    case FailureClass::kDataUnavailable:
      return data_missing_.contains(id);
    case FailureClass::kPreempted:
      return false;
  }
  return false;
}

void Causes::Judge(const scheduler::JobView& view, Ledger& ledger) {
  for (const store::AttemptRecord& attempt : view.attempts) {
    if (attempt.live()) continue;
    if (!judged_.emplace(view.record.sequence, attempt.epoch).second) continue;
    const AttemptId id(view.record.id.value(), attempt.epoch);
    if (IsCaused(id, attempt)) continue;
    ledger.Fault(fmt::format("attempt {}.{} on {} ended by {} without a cause: {}", id.first,
                             id.second, attempt.worker.value(),
                             cluster::ToWord(attempt.failure_class), attempt.message));
  }
  const store::JobStatus& status = view.record.status;
  if (status.state == store::JobState::kFailed &&
      status.failure_class == FailureClass::kWorkerLost) {
    ledger.Fault(fmt::format("job {} failed because a worker was lost", view.record.id.value()));
  }
}

}  // namespace bsnn::simulation
