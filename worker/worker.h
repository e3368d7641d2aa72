/// bsnn-worker without its main(): offers slots to a coordinator and runs what it orders.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/retry.h"
#include "worker/agent/attempt_table.h"
#include "worker/attempt_runner.h"
#include "worker/config/config.h"
#include "worker/launcher/attempt_folder.h"
#include "worker/launcher/folder_remover.h"
#include "worker/session/call_group.h"
#include "worker/session/coordinator_client.h"

namespace bsnn::worker {

/// Thread-safe. Its own thread synchronises; each attempt has more (attempt_runner.h). The
/// destructor ends all at once.
class Worker {
 public:
  /// Takes the work folder, finds the slots and starts. The coordinator need not be there.
  static absl::StatusOr<std::unique_ptr<Worker>> Start(Config config, const base::Clock& clock);
  ~Worker();

  /// Take nothing new, ask all trainers to stop, report what they had, end: all within
  /// Config::drain_seconds.
  void Drain();
  /// End at once: trainers are killed, and what has not been reported is lost.
  void Abort();
  /// Waits that long for the end; whether it has come.
  bool WaitForEnd(absl::Duration duration);
  /// After the end: whether every attempt had been reported to its end.
  bool HasReportedAll() const;

 private:
  Worker(Config config, const base::Clock& clock, launcher::WorkFolder work,
         session::Identity identity);

  void Loop();
  /// One round with the coordinator; the wait before the next.
  absl::Duration Round();
  absl::Status Register();
  void BeginDrain();
  bool IsDrained();
  void Execute(const std::vector<agent::Command>& commands);
  void Sweep();
  void NoteOutage(const absl::Status& status);
  void Wake();
  void WaitForWake(absl::Duration duration);

  const Config config_;
  const base::Clock& clock_;
  const launcher::WorkFolder work_;
  const std::shared_ptr<grpc::Channel> channel_;  ///< shared by the way gRPC has it
  session::CoordinatorClient client_;
  const AttemptTools tools_;

  // Own locking.
  session::CallGroup calls_;

  // Confined to the loop's thread.
  launcher::FolderRemover remover_;  // own locking
  agent::AttemptTable table_;
  std::map<agent::AttemptKey, std::unique_ptr<AttemptRunner>> runners_;
  std::vector<std::pair<agent::AttemptKey, std::unique_ptr<AttemptRunner>>> leaving_;
  base::Backoff backoff_;
  bool registered_ = false;
  bool outage_ = false;
  bool drain_begun_ = false;
  absl::Duration drain_deadline_;

  mutable absl::Mutex mutex_;
  bool drain_ ABSL_GUARDED_BY(mutex_) = false;
  bool abort_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool reported_all_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace bsnn::worker
