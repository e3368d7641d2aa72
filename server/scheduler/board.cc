#include "server/scheduler/board.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "server/commands/workers.h"

namespace bsnn::scheduler {
namespace {

using commands::TimerKey;

/// Workers on which an attempt of the job failed.
std::set<base::WorkerId> WorkersThatFailed(const cluster::Job& job) {
  std::set<base::WorkerId> workers;
  for (const store::AttemptRecord& attempt : job.attempts) {
    switch (attempt.failure_class) {
      case FailureClass::kInfrastructure:
      case FailureClass::kHang:
      case FailureClass::kDataUnavailable:
        workers.insert(attempt.worker);
        break;
      default:
        break;
    }
  }
  return workers;
}

policy::Needs NeedsOf(const cluster::Job& job, const spec::JobSpec& spec) {
  return {spec.resources.device, spec.data.name, WorkersThatFailed(job)};
}

policy::Want WantOf(const cluster::Job& job, const spec::JobSpec& spec) {
  return {spec.scheduling.priority, job.record.sequence};
}

/// It has an attempt that runs on, as far as anybody knows, on a worker that is silent. What a
/// trainer that had ended achieved is waited for: its worker may be back before another trains
/// anew.
bool WantsToLeave(const commands::State& state, const cluster::Job& job) {
  const store::AttemptRecord* const live = job.live();
  if (live == nullptr || live->stop != store::StopReason::kNone) return false;
  if (state.sightings.attempts.at(job.record.sequence).phase == commands::Phase::kEnded) {
    return false;
  }
  const auto worker = state.sightings.workers.find(live->worker);
  return worker != state.sightings.workers.end() && worker->second.silent;
}

}  // namespace

PendingReason ToPendingReason(std::optional<policy::WaitReason> reason) {
  if (!reason) return PendingReason::kNotEvaluated;
  switch (*reason) {
    case policy::WaitReason::kNoSuchDevice:
    case policy::WaitReason::kNoData:
      return PendingReason::kNoSuchDevice;
    case policy::WaitReason::kNoWorker:
    case policy::WaitReason::kSuspect:
      return PendingReason::kNoWorkerOnline;
    case policy::WaitReason::kAvoidsWorkers:
    case policy::WaitReason::kBusy:
      return PendingReason::kWaitingForSlots;
  }
  return PendingReason::kNotEvaluated;
}

void Board::Update(commands::State& state, absl::Duration now, const cluster::Touched& touched,
                   const std::set<int64_t>& reconsidered) {
  for (const auto& [job, change] : touched.jobs) {
    if (change.status) UpdateJob(state, job);
  }
  for (const int64_t job : reconsidered) UpdateJob(state, job);
  for (const base::WorkerId& worker : touched.workers) UpdateWorker(state, now, worker);
}

void Board::UpdateAll(commands::State& state, absl::Duration now) {
  for (size_t i = 0; i < state.facts.jobs_by_state.size(); ++i) {
    if (IsFinal(static_cast<JobState>(i))) continue;
    for (const int64_t job : state.facts.jobs_by_state[i]) UpdateJob(state, job);
  }
  for (const auto& [id, worker] : state.facts.workers) UpdateWorker(state, now, id);
}

void Board::UpdateJob(const commands::State& state, int64_t sequence) {
  const cluster::Job* const job = state.facts.FindJob(sequence);
  const bool queued = job != nullptr && job->status().state == JobState::kQueued;
  const bool ready = queued && !state.timers.Has({TimerKey::Kind::kBackOff, sequence});
  const bool leaves = job != nullptr && !queued && WantsToLeave(state, *job);
  if (!ready && !leaves) {
    wants_.Erase(sequence);
    return;
  }
  const spec::JobSpec spec = job->record.spec.Unpack();
  dirty_ |= wants_.Put(WantOf(*job, spec), NeedsOf(*job, spec), ready);
}

void Board::UpdateWorker(commands::State& state, absl::Duration now, const base::WorkerId& id) {
  if (const auto held = counts_.find(id); held != counts_.end()) {
    AddCount(held->second, -1);
    counts_.erase(held);
  }
  const cluster::Worker* const worker = state.facts.FindWorker(id);
  if (worker == nullptr) {
    offers_.Erase(id);
    return;
  }
  const commands::WorkerSighting& seen = state.sightings.workers.at(id);
  dirty_ |= offers_.Put(id, commands::OfferOf(*worker, seen, now, state.timers));
  WorkerCount count;
  count.state = commands::StateOf(*worker, seen);
  for (const store::Slot& slot : worker->record.slots) {
    const auto device = static_cast<size_t>(slot.device);
    ++count.slots[device];
    if (worker->used.contains(slot.index)) ++count.slots_used[device];
  }
  AddCount(count, 1);
  counts_[id] = count;
}

void Board::AddCount(const WorkerCount& count, int64_t sign) {
  totals_.workers[static_cast<size_t>(count.state)] += sign;
  if (count.state == WorkerState::kLost) return;
  for (size_t device = 0; device < kDevices; ++device) {
    totals_.slots[device] += sign * count.slots[device];
    totals_.slots_used[device] += sign * count.slots_used[device];
  }
}

policy::Plan Board::Decide(absl::Duration now) {
  policy::Plan plan = policy::Decide({wants_, offers_});
  // Some 100 ns a place that was looked at, and nine times as long for everything else. Small
  // boards are decided at once.
  constexpr int64_t kFreeWork = 1000;
  decide_at_ = now + absl::Microseconds(std::max<int64_t>(0, plan.work - kFreeWork));
  dirty_ = false;
  reasons_ = plan.reasons;
  return plan;
}

std::optional<policy::WaitReason> Board::FindReason(int64_t job) const {
  const policy::Needs* const needs = wants_.FindNeeds(job);
  if (needs == nullptr) return std::nullopt;
  const auto reason = reasons_.find(*needs);
  return reason == reasons_.end() ? std::nullopt : std::optional(reason->second);
}

int32_t Board::PositionOf(const cluster::Job& job) const {
  return static_cast<int32_t>(wants_.CountBefore(WantOf(job, job.record.spec.Unpack()))) + 1;
}

void Board::AddCounts(Snapshot& snapshot) const {
  snapshot.workers = totals_.workers;
  snapshot.slots = totals_.slots;
  snapshot.slots_used = totals_.slots_used;
  int64_t backing_off = snapshot.jobs[static_cast<size_t>(JobState::kQueued)];
  for (const auto& [needs, queue] : wants_.queues()) {
    const auto reason = reasons_.find(needs);
    const PendingReason pending =
        ToPendingReason(reason == reasons_.end() ? std::nullopt : std::optional(reason->second));
    snapshot.queued[static_cast<size_t>(pending)] += queue.queued;
    backing_off -= queue.queued;
  }
  snapshot.queued[static_cast<size_t>(PendingReason::kBackOff)] = backing_off;
}

}  // namespace bsnn::scheduler
