/// Batches made ahead of the step that takes them, by threads of their own.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "worker/trainer/data/dataset.h"

namespace bsnn::trainer {

/// The pictures' order in epoch `epoch` (0-based): a permutation of 0..size-1 drawn from (seed,
/// epoch) alone, so that a resumed run takes the same.
std::vector<int64_t> EpochOrder(int64_t size, int64_t seed, int64_t epoch);

struct Batch {
  struct Free {
    void operator()(float* values) const { std::free(values); }
  };
  std::unique_ptr<float[], Free> images;  ///< [N, C, H, W], as Dataset::Read gives them; 64-aligned
  std::vector<int64_t> labels;            ///< [N]
  int64_t of_all_ranks = 0;               ///< pictures of this batch that all ranks have together

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

/// Which pictures the batches hold: those of a pass over the set, `batch_size` each, the last what
/// is left; pass after pass.
struct LoadPlan {
  struct Training {
    spec::AugmentationSpec augmentation;
    int64_t seed = 0;
  };
  int64_t batch_size = 1;
  int64_t epochs = 1;
  int64_t first_step = 0;  ///< batches that are left out: taken before a restart
  /// Of each batch the rank's share alone: of b pictures those from b rank / ranks on, up to the
  /// next rank's. Batches have the same pictures in the same order with any number of ranks.
  int rank = 0;
  int ranks = 1;
  /// Each epoch in its own order (EpochOrder), changed; else in the set's order, as they are.
  std::optional<Training> training;
};

inline constexpr int64_t kBatchesAhead = 2;

/// The batches of a plan, one after the other; the same at any number of threads. Besides the batch
/// taken it holds at most kBatchesAhead (none with 0 threads, where Next does all the work).
class Loader {
 public:
  /// `data` outlives it. Its threads begin at once.
  Loader(const Dataset& data, const LoadPlan& plan, int threads);
  /// Ends the threads, each after the pictures it is at.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch. Where it is not whole, the caller helps to make it. The error of the first of
  /// its pictures that cannot be read. Call from one thread, at most as often as there are batches.
  absl::StatusOr<Batch> Next();

 private:
  struct Slot {
    Batch batch;
    std::vector<int64_t> pictures;
    int64_t epoch = 0;
    int64_t claimed = 0;  ///< pictures that somebody makes or has made
    int64_t done = 0;
    int64_t fault_at = 0;
    absl::Status fault;
  };

  void Work();
  void Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  /// Makes the next few pictures of `slot`, with the lock given back meanwhile.
  void Fill(Slot& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  /// The first batch with pictures that nobody has claimed, or null.
  Slot* Claimable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Dataset& data_;
  const LoadPlan plan_;
  const int64_t steps_per_epoch_;
  mutable absl::Mutex mutex_;
  std::deque<std::unique_ptr<Slot>> slots_ ABSL_GUARDED_BY(mutex_);  ///< in the order of steps
  int64_t next_step_ ABSL_GUARDED_BY(mutex_);                        ///< of the slot to come
  std::vector<int64_t> order_ ABSL_GUARDED_BY(mutex_);               ///< of the epoch order_epoch_
  int64_t order_epoch_ ABSL_GUARDED_BY(mutex_) = -1;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace bsnn::trainer
