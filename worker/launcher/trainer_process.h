/// One trainer as a process: started in its own process group, watched, signalled, reaped.
///
/// The kernel kills it when the *thread* that started it ends (PR_SET_PDEATHSIG), so a killed
/// worker leaves no trainer behind; that thread must outlive the process and is the one that reaps
/// it. The destructor kills the group and waits. Confined to the thread that called Start, but for
/// Signal and Kill, which are thread-safe.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bsnn::launcher {

struct ProcessOptions {
  std::filesystem::path program;
  std::vector<std::string> arguments;    ///< without the program's name
  std::vector<std::string> environment;  ///< "NAME=value"; all the child sees
  std::filesystem::path output;          ///< gets standard output and error, appended
};

/// How it ended: by `signal`, or with `exit_code` where `signal` is 0.
struct ExitState {
  int exit_code = 0;
  int signal = 0;
  bool operator==(const ExitState&) const = default;
};

class TrainerProcess {
 public:
  /// Returns when the program runs. NotFound, PermissionDenied, ... with its path where it does
  /// not.
  static absl::StatusOr<std::unique_ptr<TrainerProcess>> Start(const ProcessOptions& options);

  TrainerProcess(const TrainerProcess&) = delete;
  TrainerProcess& operator=(const TrainerProcess&) = delete;
  ~TrainerProcess();

  pid_t pid() const { return pid_; }
  /// SIGTERM to the trainer itself, which knows what to do; nothing once it has been reaped.
  void AskToStop();
  /// SIGKILL to its whole group; nothing once it has been reaped.
  void Kill();

  /// How it ended; nullopt while it runs. When it has ended, what is left of its group is killed.
  /// Does not wait.
  std::optional<ExitState> TryReap();

 private:
  explicit TrainerProcess(pid_t pid) : pid_(pid) {}
  void SignalGroup(int signal) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const pid_t pid_;
  absl::Mutex mutex_;  ///< keeps a signal from meeting a pid that has been reaped and reused
  std::optional<ExitState> exit_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::launcher
