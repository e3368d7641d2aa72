/// bsnnctl: submit, watch and manage training jobs. docs/cli.md is its manual.
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "client/commands/command.h"

namespace {

/// Turns Ctrl-C into a stop request while it lives. The first Ctrl-C ends the calls to the
/// coordinator, a second one the program. Made before any other thread, so that all threads inherit
/// the blocked signals and only this thread takes them.
class Interrupts {
 public:
  Interrupts() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, kEnd);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    thread_ = std::thread([this] {
      int signal = 0;
      while (sigwait(&signals_, &signal) == 0 && signal == SIGINT) {
        if (!source_.request_stop()) _exit(bsnn::client::kInterrupted);
      }
    });
  }
  ~Interrupts() {
    pthread_kill(thread_.native_handle(), kEnd);
    thread_.join();
  }

  std::stop_token token() const { return source_.get_token(); }

 private:
  static constexpr int kEnd = SIGUSR1;
  sigset_t signals_;
  std::stop_source source_;
  std::thread thread_;
};

}  // namespace

int main(int argc, char** argv) {
  using namespace bsnn::client;
  CLI::App app{"bsnnctl: train binary spiking networks on a bsnn-coordinator"};
  app.require_subcommand(1);
  app.fallthrough();
  app.set_help_all_flag("--help-all", "Help of every command");
  app.footer(
      "Exit codes: 0 ok; 1 the job failed or bytes do not verify; 2 wrong arguments or request;\n"
      "3 not found; 4 coordinator unreachable; 5 refused in this state; 6 interrupted;\n"
      "7 the watched job was cancelled.\n"
      "Examples:\n"
      "  bsnnctl submit --data mnist --epochs 3 --watch\n"
      "  bsnnctl list --state running\n"
      "  bsnnctl metrics mnist-7k3q --metric sign_flip_ratio --layer all");

  Context context;
  context.terminal = isatty(STDOUT_FILENO) != 0;
  context.clock = &bsnn::base::RealClock();
  app.add_option("--coordinator", context.coordinator, "Address of the coordinator")
      ->envname("BSNN_COORDINATOR")
      ->capture_default_str();
  app.add_option("--timeout", context.timeout_seconds, "Seconds for one call")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--output,-o", context.format, "table, json, yaml or name")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Format>{{"table", Format::kTable},
                                                                        {"json", Format::kJson},
                                                                        {"yaml", Format::kYaml},
                                                                        {"name", Format::kName}}))
      ->option_text("FORMAT");
  Action action;
  for (const auto add : {AddSubmit, AddList, AddShow, AddWatch, AddLogs, AddMetrics, AddCancel,
                         AddDelete, AddCheckpoints, AddWorkers, AddVersion, AddCompletion}) {
    add(app, context, action);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? int{kOk} : int{kUsage};
  }
  const Interrupts interrupts;
  context.stop = interrupts.token();
  return action();
}
