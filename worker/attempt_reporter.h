/// Moves the events and checkpoints of one attempt to the coordinator, until all has been said.
///
/// Two threads of its own: one publishes, one uploads; they end when Finished is acknowledged or
/// the attempt is dead (killed, or fenced by the coordinator). A coordinator out of reach ends
/// nothing: calls are tried again with back-off. Thread-safe.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/retry.h"
#include "worker/agent/attempt.h"
#include "worker/agent/event_relay.h"
#include "worker/launcher/event_tail.h"
#include "worker/session/call_group.h"
#include "worker/session/coordinator_client.h"

namespace bsnn::worker {

class AttemptReporter {
 public:
  struct Options {
    agent::AttemptKey key;
    std::filesystem::path folder;  ///< the attempt's; checkpoints lie below it
    const base::Clock& clock;
    session::CoordinatorClient& client;
    std::shared_ptr<grpc::Channel> channel;  ///< gRPC hands channels out shared
    base::BackoffOptions backoff = {.first = absl::Milliseconds(200), .max = absl::Seconds(5)};
    /// Called once, with no lock held, when the coordinator has fenced the attempt.
    std::function<void()> fenced;
    /// Called, with no lock held, when everything has been said, or a thread has ended.
    std::function<void()> changed;
  };

  explicit AttemptReporter(Options options);
  /// Kills, and joins.
  ~AttemptReporter();
  AttemptReporter(const AttemptReporter&) = delete;
  AttemptReporter& operator=(const AttemptReporter&) = delete;

  // What there is to say: see EventRelay.
  void Take(const std::vector<launcher::TailItem>& items);
  void AddLog(spec::Severity severity, const std::string& message);
  void EndTrainer(const agent::TrainerEnd& end);
  void EndWithout(const spec::Finished& finished);
  bool HasRoom() const;
  /// Waits until there is room, or nothing is to be said any more: false then.
  bool WaitForRoom();
  bool HasFinished() const;

  /// Say nothing more, at once.
  void Kill();

  /// Events not acknowledged; 0 once dead.
  int64_t pending() const;
  /// Of checkpoints that wait for their upload or are under way; 0 once dead.
  int64_t upload_bytes_left() const;
  /// Nothing is left to say.
  bool HasReported() const;
  /// Destruction will not wait.
  bool IsDone() const;

 private:
  void Publish();
  void Upload();
  std::vector<spec::Event> WaitForBatch();
  std::optional<agent::PendingUpload> WaitForUpload();
  /// Publishes one batch; whether it was taken.
  bool PublishBatch(const std::vector<spec::Event>& batch);
  void HandleFailure(const absl::Status& status);
  /// One try; whether the upload has come to its end.
  bool UploadOne(const agent::PendingUpload& upload, int& tries);
  absl::Status TryUpload(const agent::PendingUpload& upload, bool& ended, int& tries);
  void WarnOfDelay(const spec::CheckpointWritten& checkpoint, const absl::Status& status);
  void Fence(const absl::Status& status);
  void ThreadEnded();

  const Options options_;
  const std::string name_;  ///< of the attempt, for logs

  session::CallGroup calls_;                 // own locking
  std::atomic<int64_t> uploaded_bytes_ = 0;  // of the checkpoint under way
  int64_t delayed_step_ = -1;                // the uploading thread's

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  agent::EventRelay relay_ ABSL_GUARDED_BY(mutex_);
  bool dead_ ABSL_GUARDED_BY(mutex_) = false;
  int threads_running_ ABSL_GUARDED_BY(mutex_) = 2;

  std::thread publisher_;
  std::thread uploader_;
};

}  // namespace bsnn::worker
