/// What truly happened to workers and trainers, and whether what the coordinator made of it
/// follows: nothing is lost needlessly.
#pragma once

#include <absl/time/time.h>

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/scheduler/scheduler.h"
#include "tests/simulation/ledger.h"

namespace bsnn::simulation {

/// Confined to one thread.
class Causes {
 public:
  /// `lease` is the coordinator's.
  explicit Causes(absl::Duration lease) : lease_(lease) {}

  // Told by the world. `attention` is time in which the coordinator ran and could be called.
  void Attention(absl::Duration passed) { attention_ += passed; }
  void CoordinatorStarted();
  void Heard(const std::string& worker) { heard_[worker] = attention_; }
  void WorkerCrashed(const std::string& worker) { ++crashes_[worker]; }
  void TrainerDied(const AttemptId& attempt) { died_.insert(attempt); }
  void TrainerHung(const AttemptId& attempt) { hung_.insert(attempt); }
  void TrainerErred(const AttemptId& attempt) { erred_.insert(attempt); }
  void DataMissing(const AttemptId& attempt) { data_missing_.insert(attempt); }

  /// A change of the coordinator's mind: each attempt that has just ended, and each job that has
  /// just failed, must have its cause.
  void Judge(const scheduler::JobView& view, Ledger& ledger);

  /// The last of what happened, in words, for people.
  void Tell(std::string line);
  const std::deque<std::string>& story() const { return story_; }
  /// Of everything that was told: equal for two runs of a seed.
  uint64_t hash() const { return hash_; }

 private:
  bool IsCaused(const AttemptId& id, const store::AttemptRecord& attempt) const;

  const absl::Duration lease_;
  absl::Duration attention_;
  std::map<std::string, absl::Duration> heard_;
  std::map<std::string, int> crashes_;
  std::set<AttemptId> died_, hung_, erred_, data_missing_;
  std::set<std::pair<int64_t, int32_t>> judged_;  // (job's sequence, epoch)
  std::deque<std::string> story_;
  uint64_t hash_ = 14695981039346656037u;
};

}  // namespace bsnn::simulation
