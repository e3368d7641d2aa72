/// What is true of jobs, attempts, checkpoints and workers: everything that is durable, in memory.
///
/// Facts change through Apply (apply.h) alone. Nothing here knows a lock, a clock or a store, and
/// nothing here is lost in a restart: what only this process has seen is in commands/sightings.h.
/// Thread-compatible.
#pragma once

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "server/store/job_store.h"
#include "server/store/records.h"

namespace bsnn::cluster {

inline constexpr int kJobStates = 12;      ///< one past the largest JobState
inline constexpr int kFailureClasses = 8;  ///< one past the largest FailureClass
inline constexpr int kDevices = 3;         ///< one past the largest spec::Device

/// A place in a job's list of checkpoints, which goes down by (step, attempt_epoch).
struct CheckpointCursor {
  int64_t step = 0;
  int32_t attempt_epoch = 0;
  auto operator<=>(const CheckpointCursor&) const = default;
};

struct Job {
  store::JobRecord record;
  std::vector<store::AttemptRecord> attempts;  ///< oldest first, at most kAttemptsShownMax
  std::map<CheckpointCursor, store::CheckpointRecord> checkpoints;

  const store::JobStatus& status() const { return record.status; }
  /// The attempt that has not ended, or null.
  const store::AttemptRecord* live() const {
    return !attempts.empty() && attempts.back().live() ? &attempts.back() : nullptr;
  }
  const store::CheckpointRecord* FindCheckpoint(const base::CheckpointId& id) const;
  /// The newest checkpoint of this digest, or null.
  const store::CheckpointRecord* FindDigest(std::string_view digest) const;
};

struct Worker {
  store::WorkerRecord record;
  std::map<int32_t, int64_t> used;  ///< slot index -> sequence of the job whose attempt is live

  /// The device of a slot; kAny where it has no such slot (any more).
  spec::Device DeviceOf(int32_t slot) const;
};

/// Newest epochs of deleted jobs, so that a later job of the same id goes on counting. At most
/// `ids_max` of them: the oldest go.
class RetiredIds {
 public:
  explicit RetiredIds(int64_t ids_max = base::kRetiredIdsMax) : ids_max_(ids_max) {}
  void Put(const base::JobId& job, int32_t newest_epoch);
  /// The epoch of `job`, or 0.
  int32_t Find(const base::JobId& job) const;
  void Erase(const base::JobId& job);
  size_t size() const { return epochs_.size(); }

 private:
  struct Entry {
    int32_t newest_epoch = 0;
    int64_t number = 0;
  };
  int64_t ids_max_;
  std::unordered_map<base::JobId, Entry> epochs_;
  std::map<int64_t, base::JobId> by_number_;  // oldest first
  int64_t last_number_ = 0;
};

struct Facts {
  std::map<int64_t, Job> jobs;  ///< by sequence: in the order of creation
  std::map<base::WorkerId, Worker> workers;
  RetiredIds retired;
  int64_t last_sequence = 0;  ///< the largest ever given

  // Indices; Apply keeps them. Keys are views of the jobs' records.
  absl::flat_hash_map<std::string_view, int64_t> jobs_by_id;
  absl::flat_hash_map<std::string_view, int64_t> jobs_by_request;
  std::array<absl::btree_set<int64_t>, kJobStates> jobs_by_state;

  const Job* FindJob(const base::JobId& id) const;
  const Job* FindJob(int64_t sequence) const;
  const Worker* FindWorker(const base::WorkerId& id) const;
};

}  // namespace bsnn::cluster
