#include "worker/trainer/train/stop_flag.h"

#include <atomic>
#include <csignal>

namespace bsnn::trainer {
namespace {

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

void OnSignal(int signal) {
  if (stop_requested.exchange(true) && signal == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
}

}  // namespace

void InstallStopFlag() {
  std::signal(SIGTERM, OnSignal);
  std::signal(SIGINT, OnSignal);
  std::signal(SIGPIPE, SIG_IGN);
}

bool StopRequested() { return stop_requested.load(std::memory_order_relaxed); }

}  // namespace bsnn::trainer
