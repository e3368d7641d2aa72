/// The only code that changes facts: for calls, for a start from the store, for simulation alike.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "server/cluster/facts.h"

namespace bsnn::cluster {

/// What mutations touched, for those who keep something derived from facts.
struct Touched {
  struct Change {
    base::JobId job;
    bool status = false;   ///< the job or one of its attempts
    bool metrics = false;  ///< points were appended
    bool logs = false;     ///< lines were appended
    bool placed = false;   ///< an attempt was made
    bool ended = false;    ///< it reached a final state
    bool deleted = false;
  };
  std::map<int64_t, Change> jobs;    ///< by sequence
  std::set<base::WorkerId> workers;  ///< records, and slots in use
};

/// Applies one mutation, which a command has checked: a broken one ends the program. AppendMetrics
/// and AppendLogs change no fact; they are noted in `touched`.
void Apply(Facts& facts, const store::Mutation& mutation, Touched& touched);

/// The facts of a store at a start. DataLoss names the job whose record contradicts itself or
/// another, such as a live attempt on a worker that is not there.
absl::Status Restore(store::LoadedState state, Facts& facts);

}  // namespace bsnn::cluster
