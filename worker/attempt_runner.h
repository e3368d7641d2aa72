/// One attempt from its order to its last acknowledged word: restores, starts the trainer and
/// watches it; its AttemptReporter tells the coordinator.
///
/// A thread of its own prepares, starts, watches and reaps: the kernel ties the trainer's life to
/// that thread. A coordinator out of reach ends nothing. Thread-safe.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "worker/agent/attempt.h"
#include "worker/agent/stop_plan.h"
#include "worker/attempt_reporter.h"
#include "worker/config/config.h"
#include "worker/launcher/attempt_folder.h"
#include "worker/launcher/event_tail.h"
#include "worker/launcher/trainer_process.h"
#include "worker/session/call_group.h"
#include "worker/session/coordinator_client.h"

namespace bsnn::worker {

/// What all attempts of a worker use; outlives them.
struct AttemptTools {
  const Config& config;
  const base::Clock& clock;
  const launcher::WorkFolder& work;
  session::CoordinatorClient& client;
  std::shared_ptr<grpc::Channel> channel;  ///< gRPC hands channels out shared
  /// Called, with no lock held, when what the attempt reports has changed.
  std::function<void()> changed;
};

class AttemptRunner {
 public:
  /// Starts at once. An order with a fault ends as failed with it.
  AttemptRunner(const AttemptTools& tools, agent::Order order);
  /// Kills, and joins.
  ~AttemptRunner();
  AttemptRunner(const AttemptRunner&) = delete;
  AttemptRunner& operator=(const AttemptRunner&) = delete;

  /// Ask the trainer to stop, kill it after `grace`; what it had is still uploaded and reported.
  void Stop(absl::Duration grace);
  /// End it at once and say nothing more.
  void Kill();

  agent::Report GetReport() const;
  /// Nothing is left to say: Finished was acknowledged, or the attempt was killed or fenced.
  bool HasReported() const { return reporter_.HasReported(); }
  /// The threads have come to their ends; destruction will not wait.
  bool IsDone() const;

 private:
  using Process = std::unique_ptr<launcher::TrainerProcess>;

  void Supervise();
  absl::StatusOr<Process> Prepare();
  absl::Status RestoreCheckpoint();
  absl::StatusOr<Process> Launch();
  launcher::ExitState Watch(launcher::TrainerProcess& process);
  void TrimTrainerLog();
  void EndUnstarted(const absl::Status& status);
  void EndStarted(const launcher::ExitState& exit);
  /// Moves lines from the file to the reporter; whether there were any.
  bool ReadEvents();
  void SetPhase(agent::Phase phase);
  bool IsStopping() const;
  void KillTrainer();

  const AttemptTools& tools_;
  const agent::Order order_;
  const std::filesystem::path folder_;

  // Confined to the supervising thread.
  launcher::EventTail tail_;
  bool tail_broken_ = false;

  session::CallGroup prepare_calls_;  // own locking

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  agent::StopPlan plan_ ABSL_GUARDED_BY(mutex_);
  agent::Phase phase_ ABSL_GUARDED_BY(mutex_) = agent::Phase::kPreparing;
  bool supervised_ ABSL_GUARDED_BY(mutex_) = true;

  // Last: their threads use what is above.
  AttemptReporter reporter_;
  std::thread supervisor_;
};

}  // namespace bsnn::worker
