/// bsnn-worker: see worker.h, and `bsnn-worker --help`.
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <ctime>
#include <utility>

#include "base/clock.h"
#include "base/logging.h"
#include "worker/config/config.h"
#include "worker/worker.h"

namespace {

/// Waits up to 200 ms for a signal of `set`; whether one came.
bool GotSignal(const sigset_t& set) {
  const timespec timeout{.tv_sec = 0, .tv_nsec = 200'000'000};
  return ::sigtimedwait(&set, nullptr, &timeout) > 0;
}

}  // namespace

int main(int argc, char** argv) {
  bsnn::worker::Parsed parsed = bsnn::worker::ParseConfigOfProcess(argc, argv);
  if (parsed.exit) {
    std::fputs(parsed.text.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  }
  if (!bsnn::base::StartLogging("bsnn-worker", parsed.config.log_level).ok()) return 2;

  // Blocked before any thread starts: only this one takes them.
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  auto worker = bsnn::worker::Worker::Start(std::move(parsed.config), bsnn::base::RealClock());
  if (!worker.ok()) {
    bsnn::base::LogError(
        fmt::format("event=not_started error=\"{}\"", std::string(worker.status().message())));
    return 1;
  }
  int signals = 0;
  while (!(*worker)->WaitForEnd(absl::ZeroDuration())) {
    if (!GotSignal(ends)) continue;
    if (++signals == 1) (*worker)->Drain();
    if (signals == 2) (*worker)->Abort();
  }
  const bool reported_all = (*worker)->HasReportedAll();
  bsnn::base::LogInfo(fmt::format("event=ended reported_all={}", reported_all));
  return reported_all ? 0 : 1;
}
