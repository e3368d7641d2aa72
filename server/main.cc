/// bsnn-coordinator: see server.h, and `bsnn-coordinator --help`.
#include <absl/synchronization/mutex.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/logging.h"
#include "server/config/config.h"
#include "server/server.h"

namespace {

/// Waits for a signal to end, on a thread of its own. Before Serve such a signal ends the program
/// at once: a start may replay for minutes, and nothing has been acknowledged.
class SignalWaiter {
 public:
  explicit SignalWaiter(const sigset_t& signals) : signals_(signals), thread_([this] { Run(); }) {}
  ~SignalWaiter() {
    if (!thread_.joinable()) return;
    serving_ = true;
    ::pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

  /// Returns the signal once it has come.
  int Serve() {
    serving_ = true;
    thread_.join();
    return number_;
  }

 private:
  void Run() {
    ::sigwait(&signals_, &number_);
    if (serving_) return;
    bsnn::base::LogInfo(fmt::format("event=ended signal={} while=starting", ::strsignal(number_)));
    std::_Exit(0);
  }

  const sigset_t signals_;
  std::atomic<bool> serving_ = false;
  int number_ = 0;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

int main(int argc, char** argv) {
  const auto invocation = bsnn::server::ParseArguments(argc, argv);
  if (!invocation.ok()) {
    std::fprintf(stderr, "bsnn-coordinator: %s\n",
                 std::string(invocation.status().message()).c_str());
    return 2;
  }
  if (invocation->exit_now) {
    std::fputs(invocation->text.c_str(), stdout);
    return 0;
  }
  if (!bsnn::base::StartLogging("bsnn-coordinator", invocation->config.log_level).ok()) return 2;

  // The packaged Abseil looks for lock cycles at every lock, unless it is told not to.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);

  // Blocked before any thread starts: only the one that waits for them takes them.
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  SignalWaiter signals(ends);
  auto server = bsnn::server::Server::Start(invocation->config, bsnn::base::RealClock(),
                                            bsnn::base::SystemRandomBits());
  if (!server.ok()) {
    bsnn::base::LogError(
        fmt::format("event=not_started error=\"{}\"", std::string(server.status().message())));
    return 1;
  }
  bsnn::base::LogInfo(fmt::format("event=listening address={} metrics_address={} data={}",
                                  (*server)->address(), (*server)->metrics_address(),
                                  invocation->config.data));
  const int signal_number = signals.Serve();
  bsnn::base::LogInfo(fmt::format("event=draining signal={}", ::strsignal(signal_number)));
  server->reset();
  bsnn::base::LogInfo("event=ended");
  return 0;
}
