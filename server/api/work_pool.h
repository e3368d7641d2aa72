/// A few threads that do what may wait for the disk, so that gRPC's threads never do.
///
/// Thread-safe. Owned by the composition root. The queue holds at most kWorkQueueMax tasks; when it
/// is full, TrySubmit declines and the caller answers UNAVAILABLE. A task that throws ends the
/// program, after its name has been logged.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace bsnn::api {

inline constexpr size_t kWorkQueueMax = 16'384;
/// Callers give up after 10 s: what waits for longer than this would be done for nobody.
inline constexpr absl::Duration kWorkWaitMax = absl::Seconds(5);

class WorkPool {
 public:
  using Task = std::function<void()>;

  /// `name` is at most 12 characters; the threads are called name/0, name/1, ... Borrows the clock.
  WorkPool(const std::string& name, int threads, const base::Clock& clock);
  /// Runs what is queued, then joins.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  /// False where the queue is full or Close was called. `name` is of the task, for logs; a literal.
  bool TrySubmit(const char* name, Task task);

  /// Whether the oldest queued task has waited for kWorkWaitMax: new work is better refused.
  bool IsBehind() const;

  /// Declines tasks from now on, runs those that are queued, and joins. Idempotent.
  void Close();

 private:
  struct Queued {
    const char* name;
    Task task;
    absl::Duration since;  // steady
  };

  void Run();

  const base::Clock& clock_;
  std::vector<std::thread> threads_;
  mutable absl::Mutex mutex_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bsnn::api
