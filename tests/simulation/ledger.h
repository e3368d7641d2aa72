/// What the outside has been told, and whether everything seen later agrees with it.
///
/// "Told" means that a reply has left the coordinator: whether it arrived does not matter.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/scheduler/scheduler.h"
#include "server/store/history_store.h"

namespace bsnn::simulation {

/// A job's id and an attempt's fencing epoch.
using AttemptId = std::pair<std::string, int32_t>;

class Ledger {
 public:
  // Told by the coordinator.
  void Created(const std::string& request_id, const scheduler::JobView& view);
  void CancelTaken(int64_t sequence) { cancelled_.insert(sequence); }
  void DeleteAsked(int64_t sequence) { delete_asked_.insert(sequence); }
  void Deleted(int64_t sequence) { deleted_.insert(sequence); }
  void Ordered(const std::string& worker, const std::string& incarnation,
               const scheduler::AttemptOrder& order);
  void Acknowledged(const AttemptId& attempt, int64_t sequence,
                    const std::vector<spec::Event>& events);
  void Fenced(const AttemptId& attempt) { fenced_.insert(attempt); }
  /// A change of a job that is durable, as a watcher sees it.
  void Published(const scheduler::JobView& view);

  // Done by trainers.
  void TrainerStarted(const AttemptId& attempt);
  void TrainerSucceeded(const AttemptId& attempt, const std::string& digest);

  // Checks.
  /// Of the state in memory, at any time.
  void CheckScheduler(const scheduler::Scheduler& scheduler, scheduler::Instant now);
  /// Of what a start of the coordinator found.
  void CheckRestart(const scheduler::Scheduler& scheduler, scheduler::Instant now);
  /// A trainer resumes at `step`: the history has every step up to there.
  void CheckHistory(const store::HistoryStore& histories, const base::JobId& job, int64_t step);
  /// Of histories, at any time: what was acknowledged is there.
  void CheckMetrics(const scheduler::Scheduler& scheduler, scheduler::Instant now,
                    const store::HistoryStore& histories);

  void Fault(std::string what);
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  struct Placement {
    std::string worker;
    std::string incarnation;
    int32_t slot = 0;
    bool operator==(const Placement&) const = default;
  };
  struct Ending {
    store::JobState state;
    int64_t version;
    int32_t epoch;
    std::string digest;
    bool operator==(const Ending&) const = default;
  };
  void CheckJob(const scheduler::JobView& view,
                std::map<std::pair<std::string, int32_t>, std::string>& slots);
  void CheckSuccess(const scheduler::JobView& view);

  std::map<std::string, std::pair<std::string, int64_t>> created_;  // request id -> id, sequence
  std::set<int64_t> cancelled_;
  std::set<int64_t> delete_asked_;
  std::set<int64_t> deleted_;
  std::map<AttemptId, Placement> placements_;
  std::map<std::string, int32_t> newest_;  // job id -> largest epoch ordered
  std::set<AttemptId> fenced_;
  std::map<int64_t, int64_t> versions_;  // job sequence -> newest published version
  std::map<int64_t, Ending> endings_;
  std::set<AttemptId> trainers_;
  std::map<AttemptId, std::string> successes_;
  // job id -> step -> largest epoch whose point of that step was acknowledged
  std::map<std::string, std::map<int64_t, int32_t>> points_;
  std::vector<std::string> faults_;
};

/// The value of the point that attempt `epoch` reports for `step`.
inline double PointValue(int32_t epoch, int64_t step) {
  return static_cast<double>(epoch) * 1000 + static_cast<double>(step);
}

}  // namespace bsnn::simulation
