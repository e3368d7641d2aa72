/// Every knob of bsnn-worker: command line over environment (BSNN_WORKER_*) over file (--config).
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <filesystem>
#include <string>
#include <vector>

namespace bsnn::worker {

struct Config {
  std::string coordinator = "127.0.0.1:7070";  ///< address as gRPC reads it
  std::string id;                              ///< [a-z0-9-]{1,63}; default from the host's name
  bool id_is_default = false;                  ///< `id` is the host's name; WORK/id has the rest
  std::filesystem::path data;                  ///< folder of the data sets
  std::filesystem::path work;                  ///< folder of the worker's own files
  std::string device = "auto";                 ///< "auto", "cpu" or "cuda"
  int cpu_slots = 1;                           ///< 1 to 64
  int threads_per_slot = 0;        ///< 0 to 1024; 0: the host's CPUs shared between the slots
  std::filesystem::path trainer;   ///< bsnn-train; default beside this program
  int drain_seconds = 60;          ///< 1 to 3600: from SIGTERM to the end
  int call_timeout_seconds = 10;   ///< 1 to 120: deadline of one call to the coordinator
  int disk_free_min_mib = 256;     ///< 0 to 1048576: an attempt starts only with this much free
  int trainer_log_max_kib = 4096;  ///< 64 to 1048576: of one attempt's trainer.log
  std::string log_level = "info";

  // Not knobs: read once, here, from the system.
  std::string hostname;
  std::vector<std::string> environment;  ///< trainers inherit it
  std::string cuda_visible_devices;
  bool cuda_visible_devices_is_set = false;
};

/// What main() is to do after reading its arguments.
struct Parsed {
  Config config = {};
  bool exit = false;  ///< --help, --version or a mistake: print `text`, exit with `exit_code`
  int exit_code = 0;  ///< 0, or 2 for a mistake
  std::string text = {};
};

/// Reads and checks everything. An unknown or wrong knob is a mistake that names it, its value and
/// what is allowed. `environment` holds "NAME=value"; BSNN_WORKER_ names beyond the knobs are
/// mistakes. `program` is where the running program lies, `hostname` the host's name.
Parsed ParseConfig(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment,
                   const std::filesystem::path& program, const std::string& hostname);

/// The same for this process.
Parsed ParseConfigOfProcess(int argc, const char* const* argv);

/// An id made of a host's name: lower case, other characters as '-', cut to 63.
std::string IdOfHostname(const std::string& hostname);

}  // namespace bsnn::worker
