/// Every knob of bsnn-coordinator: one struct, read from a file, the environment and flags.
///
/// A knob `lease-seconds` is the flag `--lease-seconds 15`, the environment variable
/// BSNN_COORDINATOR_LEASE_SECONDS and the key `lease-seconds = 15` of the file named by --config
/// (TOML or INI). A flag wins over the environment, the environment over the file. Unknown flags
/// and keys, and values out of range, stop the start with the name of the knob.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>

namespace bsnn::server {

/// Immutable once read. Ranges are those that ParseArguments accepts.
struct Config {
  std::string data;                               ///< folder of database and checkpoints; required
  std::string listen = "127.0.0.1:7070";          ///< gRPC, host:port; port 0 takes a free one
  std::string metrics_listen = "127.0.0.1:9464";  ///< HTTP /metrics, host:port; "" serves none
  std::string address_file;                       ///< gets the gRPC address once serving; "" none
  std::string metrics_address_file;               ///< gets the /metrics address; "" none
  bool allow_insecure_network = false;  ///< listen beyond loopback with neither TLS nor login
  bool require_deadline = false;        ///< refuse unary calls that bring no deadline
  std::string log_level = "info";       ///< debug, info, warning, error

  double lease_seconds = 15;            ///< 0.1 to 3600: one silent for longer gets nothing new
  double lost_after_seconds = 180;      ///< 0.1 to 86400: one silent for longer is lost
  double next_call_seconds = 1;         ///< 0.01 to 600: between a worker's calls, when quiet
  double next_call_busy_seconds = 0.2;  ///< 0.01 to 600: the same, while something changes
  double start_limit_seconds = 1800;  ///< 1 to 604800: longest time from placement to first report
  double hang_limit_seconds = 600;    ///< 1 to 604800: no step for longer, at least, is a hang
  double hang_steps = 10;             ///< 1 to 1e6: ... and at least so many usual steps
  double cancel_margin_seconds = 10;  ///< 0 to 3600: beyond the grace, cancelling is ended
  double worker_retention_seconds = 86400;  ///< 0 to 31536000: a lost worker stays listed
  double metrics_finished_job_retention_seconds = 90;  ///< 0 to 86400: series after a job's end

  double drain_seconds = 10;  ///< 0 to 600: calls under way may take so long after SIGTERM
  int disk_threads = 4;       ///< 1 to 64: reading, writing and verifying checkpoints
  int history_threads = 2;    ///< 1 to 64: reading metrics and logs for callers
  int streams_max = 4096;     ///< 1 to 1000000: watches, follows and transfers open at once
};

/// What the command line asks for.
struct Invocation {
  Config config;
  bool exit_now = false;  ///< --help, --version or --print-config: print `text` and exit 0
  std::string text;
};

/// Reads flags, environment and file. InvalidArgument naming the knob.
absl::StatusOr<Invocation> ParseArguments(int argc, const char* const* argv);

/// Whether `address` (host:port, [v6]:port or unix:path) can be reached from this machine only.
bool IsLoopback(const std::string& address);

}  // namespace bsnn::server
