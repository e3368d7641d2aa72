/// Removes attempts' folders on a thread of its own: a few hundred GB of checkpoints on a slow disk
/// take longer than a lease, and the thread that calls the coordinator must not wait for it.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <deque>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "worker/agent/attempt.h"

namespace bsnn::launcher {

/// Thread-safe. The destructor waits for the removal under way; what is queued stays:
/// WorkFolder::Open removes it at the next start.
class FolderRemover {
 public:
  /// `removed` is called, with no lock held, after each removal.
  explicit FolderRemover(std::function<void()> removed);
  ~FolderRemover();

  void Remove(const agent::AttemptKey& key, std::filesystem::path folder);
  /// Attempts whose folders are gone since the last call.
  std::vector<agent::AttemptKey> TakeRemoved();

 private:
  struct Task {
    agent::AttemptKey key;
    std::filesystem::path folder;
  };
  void Run();
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closing_ || !tasks_.empty(); }

  const std::function<void()> removed_call_;
  absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::vector<agent::AttemptKey> removed_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace bsnn::launcher
