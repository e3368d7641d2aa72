/// One call's reading and changing of facts. A command reads, checks, and only then calls Do: what
/// a command has refused has changed nothing.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "base/ids.h"
#include "server/cluster/apply.h"
#include "server/cluster/facts.h"
#include "server/commands/counters.h"
#include "server/commands/sightings.h"
#include "server/commands/timers.h"
#include "server/commands/types.h"

namespace bsnn::commands {

/// What commands work on; the scheduler owns it behind its lock.
struct State {
  cluster::Facts facts;
  Sightings sightings;
  Timers timers;
  Counters counters;
  spec::RecentSpecs recent_specs{256};  ///< so that the jobs of a sweep share their specs
};

/// Thread-compatible; lives for one call. Borrows everything.
class Transaction {
 public:
  Transaction(const Options& options, State& state, base::RandomBits& bits, Instant now)
      : options_(options), state_(state), bits_(bits), now_(now) {}

  const Options& options() const { return options_; }
  const cluster::Facts& facts() const { return state_.facts; }
  Sightings& sightings() { return state_.sightings; }
  Timers& timers() { return state_.timers; }
  Counters& counters() { return state_.counters; }
  spec::SharedSpec Share(const spec::JobSpec& spec) {
    return state_.recent_specs.Share(spec::SharedSpec(spec));
  }
  base::RandomBits& bits() { return bits_; }
  Instant now() const { return now_; }

  /// Changes the facts at once, and remembers the mutation for the store. A later status of the
  /// same job, or record of the same attempt, replaces the one before in the batch.
  void Do(store::Mutation mutation);
  /// The job's status after `change(status)`, with the update time.
  template <class Change>
  void UpdateStatus(const cluster::Job& job, Change&& change) {
    store::JobStatus status = job.status();
    change(status);
    status.update_time = now_.wall;
    Do(store::UpdateJob{job.record.id, std::move(status)});
  }
  /// The job's live attempt after `change(attempt)`; it must have one.
  template <class Change>
  void UpdateAttempt(const cluster::Job& job, Change&& change) {
    store::AttemptRecord attempt = *job.live();
    change(attempt);
    Do(store::PutAttempt{job.record.id, std::move(attempt)});
  }

  /// Something that is no fact changed for it (its back-off is over, a place is trusted again).
  void Reconsider(int64_t job) { touched_jobs_.insert(job); }
  void Reconsider(const base::WorkerId& worker) { touched_.workers.insert(worker); }

  bool HasBatch() const { return !batch_.empty(); }
  store::Batch TakeBatch();
  /// What changed since the last TakeTouched, Reconsidered jobs apart.
  cluster::Touched TakeTouched() { return std::exchange(touched_, {}); }
  std::set<int64_t> TakeReconsidered() { return std::exchange(touched_jobs_, {}); }

 private:
  const Options& options_;
  State& state_;
  base::RandomBits& bits_;
  const Instant now_;
  store::Batch batch_;
  std::map<base::JobId, size_t> status_at_;                       // index into batch_
  std::map<std::pair<base::JobId, int32_t>, size_t> attempt_at_;  // the same
  cluster::Touched touched_;
  std::set<int64_t> touched_jobs_;
};

}  // namespace bsnn::commands
