/// Keeps what the policy sees in step with the facts, and remembers what it decided.
///
/// Thread-compatible; part of the scheduler's state, behind its lock.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "server/commands/transaction.h"
#include "server/policy/decide.h"
#include "server/policy/view.h"
#include "server/scheduler/types.h"

namespace bsnn::scheduler {

/// Nothing: no decision has looked at it yet.
PendingReason ToPendingReason(std::optional<policy::WaitReason> reason);

class Board {
 public:
  /// Looks again at every job and worker that `touched` and `reconsidered` name.
  void Update(commands::State& state, absl::Duration now, const cluster::Touched& touched,
              const std::set<int64_t>& reconsidered);
  /// The same for all that `state` has.
  void UpdateAll(commands::State& state, absl::Duration now);

  /// Whether something changed since the last decision, and the last one's work is paid off: a
  /// decision may take at most a tenth of the time.
  bool ShouldDecide(absl::Duration now) const { return dirty_ && now >= decide_at_; }
  /// When ShouldDecide becomes true; InfiniteDuration where nothing changed.
  absl::Duration decide_at() const { return dirty_ ? decide_at_ : absl::InfiniteDuration(); }
  /// The plan, whose starts the caller carries out.
  policy::Plan Decide(absl::Duration now);

  /// Why a queued job waits, as of the last decision.
  std::optional<policy::WaitReason> FindReason(int64_t job) const;
  /// Place of a queued job: 1 would be next, were every place fit for it.
  int32_t PositionOf(const cluster::Job& job) const;

  /// Fills in the counts of workers, slots and queued jobs by reason.
  void AddCounts(Snapshot& snapshot) const;

 private:
  /// One worker's share of the totals.
  struct WorkerCount {
    WorkerState state = WorkerState::kOnline;
    std::array<int64_t, kDevices> slots{};
    std::array<int64_t, kDevices> slots_used{};
  };
  void UpdateJob(const commands::State& state, int64_t job);
  void UpdateWorker(commands::State& state, absl::Duration now, const base::WorkerId& worker);
  void AddCount(const WorkerCount& count, int64_t sign);

  policy::Wants wants_;
  policy::Offers offers_;
  std::map<policy::Needs, policy::WaitReason> reasons_;  // of the last decision
  bool dirty_ = false;
  absl::Duration decide_at_ = -absl::InfiniteDuration();
  std::map<base::WorkerId, WorkerCount> counts_;
  Snapshot totals_;
};

}  // namespace bsnn::scheduler
