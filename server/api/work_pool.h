/// A few threads that do what may wait for the disk, so that gRPC's threads never do.
///
/// Thread-safe. Owned by the composition root. The queue holds at most kWorkQueueMax tasks; when it
/// is full, TrySubmit declines and the caller answers UNAVAILABLE.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace bsnn::api {

inline constexpr size_t kWorkQueueMax = 16'384;

class WorkPool {
 public:
  using Task = std::function<void()>;

  /// `name` is at most 12 characters; the threads are called name/0, name/1, ...
  WorkPool(const std::string& name, int threads);
  /// Runs what is queued, then joins.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  /// False where the queue is full or Close was called.
  bool TrySubmit(Task task);

  /// Declines tasks from now on, runs those that are queued, and joins. Idempotent.
  void Close();

 private:
  void Run();

  std::vector<std::thread> threads_;
  absl::Mutex mutex_;
  std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bsnn::api
