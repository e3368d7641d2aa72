/// bsnn-coordinator: see server.h, and `bsnn-coordinator --help`.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstring>

#include "base/logging.h"
#include "server/config/config.h"
#include "server/server.h"

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

  // Blocked before any thread starts: only this one takes them.
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

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
  int signal_number = 0;
  ::sigwait(&ends, &signal_number);
  bsnn::base::LogInfo(fmt::format("event=draining signal={}", ::strsignal(signal_number)));
  server->reset();
  bsnn::base::LogInfo("event=ended");
  return 0;
}
