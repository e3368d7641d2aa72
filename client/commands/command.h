/// bsnnctl's commands: each adds a subcommand to the app and, if chosen, runs with what is shared.
#pragma once

#include <absl/status/status.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "client/printers/printer.h"
#include "client/sdk/client.h"

namespace bsnn::client {

/// Exit codes of bsnnctl; docs/cli.md lists them. Frozen: scripts depend on them.
enum ExitCode {
  kOk = 0,
  kFailed = 1,  ///< the job failed or expired, or bytes do not verify
  kUsage = 2,   ///< wrong arguments or an invalid request
  kNotFound = 3,
  kUnreachable = 4,  ///< no answer from the coordinator
  kRefused = 5,      ///< the state of things does not allow it
  kInterrupted = 6,  ///< by Ctrl-C; what was asked of the server goes on
  kCancelled = 7,    ///< the watched job was cancelled
};

/// What every command is given.
struct Context {
  std::string coordinator = "127.0.0.1:7070";
  Format format = Format::kTable;
  double timeout_seconds = 10;
  bool terminal = false;  ///< standard output is a terminal
  const base::Clock* clock = nullptr;
  std::stop_token stop;  ///< requested by Ctrl-C

  bool interrupted() const { return stop.stop_requested(); }
  sdk::Client MakeClient() const;
};

/// What the chosen command does; returns the exit code.
using Action = std::function<int()>;

/// Each adds its subcommand; when it is chosen, it sets `action`.
void AddSubmit(CLI::App& app, Context& context, Action& action);
void AddList(CLI::App& app, Context& context, Action& action);
void AddShow(CLI::App& app, Context& context, Action& action);
void AddWatch(CLI::App& app, Context& context, Action& action);
void AddLogs(CLI::App& app, Context& context, Action& action);
void AddMetrics(CLI::App& app, Context& context, Action& action);
void AddCancel(CLI::App& app, Context& context, Action& action);
void AddDelete(CLI::App& app, Context& context, Action& action);
void AddCheckpoints(CLI::App& app, Context& context, Action& action);
void AddWorkers(CLI::App& app, Context& context, Action& action);
void AddVersion(CLI::App& app, Context& context, Action& action);
void AddCompletion(CLI::App& app, Context& context, Action& action);

/// Prints an error for people, every wrong field on a line of its own and what to do next, and
/// returns the exit code that says what kind it is.
int Fail(const Context& context, const std::string& what, const absl::Status& status);

/// "x" or "jobs/x" as the resource name "jobs/x".
std::string JobNameOf(const std::string& text);

/// Watches a job until its end, drawing progress and curves. The exit code of `watch`.
int WatchToEnd(const Context& context, sdk::Client& client, const std::string& job);

}  // namespace bsnn::client
