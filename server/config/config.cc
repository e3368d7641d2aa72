#include "server/config/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/fault.h"
#include "base/status.h"

extern char** environ;

namespace bsnn::server {
namespace {

constexpr char kVersion[] = "bsnn-coordinator " BSNN_VERSION;
constexpr char kDescription[] =
    "bsnn-coordinator: queues training jobs, places them on workers, keeps them alive, and serves "
    "their metrics and checkpoints.";
constexpr char kFooter[] = R"(
Every option is also an environment variable (--lease-seconds: BSNN_COORDINATOR_LEASE_SECONDS) and
a key of the --config file (lease-seconds = 15). A flag wins over the environment, that over the
file.

Examples:
  bsnn-coordinator --data /var/lib/bsnn
  bsnn-coordinator --data ./data --listen 127.0.0.1:0 --address-file ./address
  bsnn-coordinator --data ./data --print-config > coordinator.toml
  bsnn-coordinator --config coordinator.toml

Exit codes: 0 after SIGTERM or SIGINT, 1 when it cannot run, 2 for wrong configuration.
)";

/// "lease-seconds" as BSNN_COORDINATOR_LEASE_SECONDS.
std::string EnvironmentName(std::string_view knob) {
  std::string name = "BSNN_COORDINATOR_";
  for (const char c : knob) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

/// Declares the knobs on a CLI11 application that writes into `config`.
class Knobs {
 public:
  explicit Knobs(CLI::App& app) : app_(app) {}

  template <class T>
  CLI::Option* Add(const std::string& knob, T& value, const std::string& meaning) {
    names_.push_back(knob);
    return app_.add_option("--" + knob, value, meaning)
        ->capture_default_str()
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  template <class T>
  void AddRange(const std::string& knob, T& value, T min, T max, const std::string& meaning) {
    // CLI::Range lets NaN pass.
    const std::string range = fmt::format("{} to {}", min, max);
    Add(knob, value, meaning)
        ->check(CLI::Validator(
            [=](const std::string& text) {
              T number{};
              const bool inside =
                  CLI::detail::lexical_cast(text, number) && number >= min && number <= max;
              return inside ? std::string() : fmt::format("{} is not {}", text, range);
            },
            range));
  }
  void AddFlag(const std::string& knob, bool& value, const std::string& meaning) {
    names_.push_back(knob);
    app_.add_flag("--" + knob, value, meaning)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }

  /// The environment as arguments, to stand before those of the command line.
  std::vector<std::string> FromEnvironment() const {
    std::vector<std::string> arguments;
    const char* file = std::getenv(EnvironmentName("config").c_str());
    if (file != nullptr) arguments.push_back(fmt::format("--config={}", file));
    for (const std::string& knob : names_) {
      const char* value = std::getenv(EnvironmentName(knob).c_str());
      if (value != nullptr) arguments.push_back(fmt::format("--{}={}", knob, value));
    }
    return arguments;
  }

  /// A variable that looks like ours and is none; "" where there is none.
  std::string UnknownVariable() const {
    const std::string prefix = EnvironmentName("");
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const std::string name(text.substr(0, text.find('=')));
      if (!name.starts_with(prefix) || name == EnvironmentName("config")) continue;
      const auto is_it = [&](const std::string& knob) { return EnvironmentName(knob) == name; };
      if (std::none_of(names_.begin(), names_.end(), is_it)) return name;
    }
    return "";
  }

  /// The variables that are set and whose knob `message` names.
  std::string Blamed(std::string_view message) const {
    std::string blamed;
    for (const std::string& knob : names_) {
      const std::string variable = EnvironmentName(knob);
      if (message.find("--" + knob) != std::string_view::npos && std::getenv(variable.c_str())) {
        blamed += fmt::format(" ({} is set)", variable);
      }
    }
    return blamed;
  }

 private:
  CLI::App& app_;
  std::vector<std::string> names_;
};

void DeclareAddresses(Knobs& knobs, Config& config) {
  knobs.Add("data", config.data, "Folder of the database and the checkpoints (required)");
  knobs.Add("listen", config.listen, "Address of the gRPC API, host:port; port 0 takes a free one");
  knobs.Add("metrics-listen", config.metrics_listen,
            "Address of HTTP /metrics, host:port; empty serves none");
  knobs.Add("address-file", config.address_file,
            "File that gets the gRPC address once the coordinator serves");
  knobs.Add("metrics-address-file", config.metrics_address_file,
            "File that gets the address of /metrics");
  knobs.AddFlag("allow-insecure-network", config.allow_insecure_network,
                "Listen beyond loopback although there is neither TLS nor login");
  knobs.AddFlag("require-deadline", config.require_deadline,
                "Refuse unary calls that bring no deadline");
  knobs.Add("log-level", config.log_level, "Least severity that is logged")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
}

void DeclareRules(Knobs& knobs, Config& c) {
  knobs.AddRange("lease-seconds", c.lease_seconds, 0.1, 3600.,
                 "A worker silent for longer gets nothing new");
  knobs.AddRange("lost-after-seconds", c.lost_after_seconds, 0.1, 86400.,
                 "A worker silent for longer is lost: its jobs start again");
  knobs.AddRange("next-call-seconds", c.next_call_seconds, 0.01, 600.,
                 "Seconds between a worker's calls when nothing happens");
  knobs.AddRange("next-call-busy-seconds", c.next_call_busy_seconds, 0.01, 600.,
                 "The same while something changes");
  knobs.AddRange("start-limit-seconds", c.start_limit_seconds, 1., 604800.,
                 "Longest time from placement to a trainer's first report");
  knobs.AddRange("hang-limit-seconds", c.hang_limit_seconds, 1., 604800.,
                 "A trainer with no step for longer is restarted, ...");
  knobs.AddRange("hang-steps", c.hang_steps, 1., 1e6,
                 "... if it is also longer than so many of its usual steps");
  knobs.AddRange("cancel-margin-seconds", c.cancel_margin_seconds, 0., 3600.,
                 "Beyond a job's grace, a cancelled job is ended without its worker");
  knobs.AddRange("worker-retention-seconds", c.worker_retention_seconds, 0., 31536000.,
                 "How long a lost worker stays listed");
  knobs.AddRange("metrics-finished-job-retention-seconds", c.metrics_finished_job_retention_seconds,
                 0., 86400., "How long the series of an ended job stay on /metrics");
  knobs.AddRange("drain-seconds", c.drain_seconds, 0., 600.,
                 "Longest time for calls under way after SIGTERM");
  knobs.AddRange("disk-threads", c.disk_threads, 1, 64,
                 "Threads that read, write and verify checkpoints");
  knobs.AddRange("history-threads", c.history_threads, 1, 64,
                 "Threads that read metrics and logs for callers");
  knobs.AddRange("streams-max", c.streams_max, 1, 1000000,
                 "Watches, follows and transfers open at once");
}

absl::Status Fault(std::string field, std::string value, std::string allowed) {
  return base::InvalidFields({{std::move(field), std::move(value), std::move(allowed)}});
}

/// What no single knob's range can say.
absl::Status CheckTogether(const Config& config) {
  if (config.data.empty()) return Fault("--data", "empty", "a folder");
  if (config.listen.empty()) return Fault("--listen", "empty", "host:port");
  if (config.next_call_seconds * 2 > config.lease_seconds) {
    return Fault(
        "--lease-seconds", fmt::format("{}", config.lease_seconds),
        fmt::format("at least twice --next-call-seconds, which is {}", config.next_call_seconds));
  }
  if (config.allow_insecure_network) return absl::OkStatus();
  constexpr char kAllowed[] =
      "a loopback address such as 127.0.0.1:7070; the API has neither TLS nor login in this "
      "release, and --allow-insecure-network accepts that";
  if (!IsLoopback(config.listen)) return Fault("--listen", config.listen, kAllowed);
  if (!config.metrics_listen.empty() && !IsLoopback(config.metrics_listen)) {
    return Fault("--metrics-listen", config.metrics_listen, kAllowed);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Invocation> ParseArguments(int argc, const char* const* argv) {
  Invocation invocation;
  CLI::App app(kDescription, "bsnn-coordinator");
  app.footer(kFooter);
  app.set_version_flag("--version", kVersion);
  app.set_config("--config", "", "File with any of these options (TOML or INI)")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.allow_config_extras(CLI::config_extras_mode::error);
  bool print_config = false;
  app.add_flag("--print-config", print_config, "Print the configuration as a file for --config")
      ->configurable(false);
  Knobs knobs(app);
  DeclareAddresses(knobs, invocation.config);
  DeclareRules(knobs, invocation.config);

  if (const std::string unknown = knobs.UnknownVariable(); !unknown.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "configuration: environment variable {} is unknown; see bsnn-coordinator --help", unknown));
  }
  std::vector<std::string> arguments = knobs.FromEnvironment();
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  // CLI11 speaks through exceptions; they end here.
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return Invocation{{}, true, app.help()};
  } catch (const CLI::CallForVersion&) {
    return Invocation{{}, true, std::string(kVersion) + "\n"};
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(
        fmt::format("configuration: {}{}", error.what(), knobs.Blamed(error.what())));
  }
  if (print_config) return Invocation{{}, true, app.config_to_str(true, true)};
  RETURN_IF_ERROR(CheckTogether(invocation.config));
  return invocation;
}

bool IsLoopback(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return false;
  const std::string host = address.substr(0, colon);
  if (host == "localhost" || host == "[::1]") return true;
  if (!host.starts_with("127.")) return false;
  for (const char c : host) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0 && c != '.') return false;
  }
  return true;
}

}  // namespace bsnn::server
