/// Removes checkpoint files that belong to no checkpoint of the catalogue and to no live attempt:
/// what cut uploads and failed removals leave behind.
///
/// A job's folder is swept when the job has ended (Sweep). Beside that the sweeper walks over all
/// folders, one job after the other with a pause between, again and again. It never holds the names
/// of more than one job's files. Errors are logged: orphans cost room, nothing else.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <set>
#include <thread>

#include "base/clock.h"
#include "base/ids.h"
#include "blob/blob_store.h"
#include "server/scheduler/scheduler.h"

namespace bsnn::api {

/// Thread-safe. Owns one thread. Owned by the composition root.
class BlobSweeper {
 public:
  struct Options {
    absl::Duration pause = absl::Milliseconds(100);  ///< between two jobs of the walk
    absl::Duration rest = absl::Hours(1);            ///< between two walks
  };

  /// Begins with a walk. Borrows all but the options.
  BlobSweeper(scheduler::Scheduler& scheduler, blob::BlobStore& blobs, const base::Clock& clock,
              const Options& options);
  ~BlobSweeper();
  BlobSweeper(const BlobSweeper&) = delete;
  BlobSweeper& operator=(const BlobSweeper&) = delete;

  /// Sweeps this job's folder soon.
  void Sweep(const base::JobId& job);

  /// Joins the thread; Sweep does nothing from then on. Idempotent.
  void Stop();

 private:
  void Run();
  /// Sweeps what was asked for, then waits. False where it is to end.
  bool SweepAskedAndWait(absl::Duration wait);

  scheduler::Scheduler& scheduler_;
  blob::BlobStore& blobs_;
  const base::Clock& clock_;
  const Options options_;
  absl::Mutex mutex_;
  std::set<base::JobId> asked_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

/// Sweeps one job's folder now. May wait for the disk.
void SweepJob(scheduler::Scheduler& scheduler, blob::BlobStore& blobs, const base::Clock& clock,
              const base::JobId& job);

}  // namespace bsnn::api
