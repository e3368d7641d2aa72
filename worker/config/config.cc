#include "worker/config/config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <climits>
#include <map>
#include <utility>

#include "base/ids.h"

extern char** environ;

namespace bsnn::worker {
namespace {

constexpr char kPrefix[] = "BSNN_WORKER_";
constexpr char kExamples[] = R"(
Examples:
  A worker with one CPU slot, for a coordinator on this machine:
    bsnn-worker --data /srv/datasets --work /var/lib/bsnn-worker
  Two CPU slots with four threads each:
    bsnn-worker --data /srv/datasets --work w --device cpu --cpu-slots 2 --threads-per-slot 4
  All from a file:
    bsnn-worker --config /etc/bsnn/worker.toml

Every option can stand in the file by its long name (cpu-slots = 2) and in the environment as
BSNN_WORKER_ and its name in capitals (BSNN_WORKER_CPU_SLOTS=2). The command line wins over the
environment, the environment over the file. Unknown names stop the start.

SIGTERM or SIGINT ends it in order: trainers are asked to stop and write a checkpoint, which is
uploaded and reported, and their jobs go on elsewhere. A second signal ends it at once.
Exit status: 0 ended in order, 1 failed or not everything could be reported, 2 wrong usage.)";

/// BSNN_WORKER_CPU_SLOTS of cpu-slots.
std::string EnvironmentName(std::string knob) {
  std::transform(knob.begin(), knob.end(), knob.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return kPrefix + knob;
}

void AddOptions(CLI::App& app, Config& config) {
  app.set_config("--config", "", "File with options, TOML or INI: name = value");
  app.add_option("--coordinator", config.coordinator, "Address of the coordinator, host:port")
      ->capture_default_str();
  app.add_option("--id", config.id, "Id of this worker, [a-z0-9-], 1 to 63 characters")
      ->default_str("from the host's name");
  app.add_option("--data", config.data, "Folder of the data sets")->required();
  app.add_option("--work", config.work,
                 "Folder for the worker's own files; made if it is not there")
      ->required();
  app.add_option("--device", config.device, "Slots to offer: auto (CUDA, else CPU), cpu, cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--cpu-slots", config.cpu_slots, "CPU slots to offer, 1 to 64")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--threads-per-slot", config.threads_per_slot,
                 "CPU threads of a trainer whose job asks for none, 0 to 1024; 0 shares the CPUs")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--trainer", config.trainer, "The program bsnn-train")
      ->default_str("beside this program");
  app.add_option("--drain-seconds", config.drain_seconds,
                 "Time from SIGTERM to the end, 1 to 3600 s")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  app.add_option("--call-timeout-seconds", config.call_timeout_seconds,
                 "Deadline of one call to the coordinator, 1 to 120 s")
      ->check(CLI::Range(1, 120))
      ->capture_default_str();
  app.add_option("--disk-free-min-mib", config.disk_free_min_mib,
                 "Free disk space an attempt needs to start, 0 to 1048576 MiB")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--trainer-log-max-kib", config.trainer_log_max_kib,
                 "Size of a trainer's log kept on disk, 64 to 1048576 KiB")
      ->check(CLI::Range(64, 1 << 20))
      ->capture_default_str();
  app.add_option("--log-level", config.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
}

Parsed Mistake(std::string text) {
  return {.exit = true, .exit_code = 2, .text = fmt::format("bsnn-worker: {}\n", text)};
}

/// Adds what the environment says, as arguments of options that the command line does not have.
/// An empty text is no fault.
std::string TakeEnvironment(const std::vector<std::string>& environment, const CLI::App& app,
                            const std::vector<std::string>& given,
                            std::vector<std::string>& arguments) {
  std::map<std::string, std::string> knobs;
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_single_name();
    if (name != "help" && name != "version") knobs[EnvironmentName(name)] = name;
  }
  for (const std::string& entry : environment) {
    if (entry.rfind(kPrefix, 0) != 0) continue;
    const size_t equals = entry.find('=');
    const auto knob = knobs.find(entry.substr(0, equals));
    if (knob == knobs.end() || equals == std::string::npos) {
      return fmt::format("environment variable {} is unknown (see bsnn-worker --help)",
                         entry.substr(0, equals));
    }
    const std::string flag = "--" + knob->second;
    const bool is_given = std::any_of(given.begin(), given.end(), [&flag](const auto& argument) {
      return argument == flag || argument.rfind(flag + "=", 0) == 0;
    });
    if (!is_given) arguments.push_back(flag + "=" + entry.substr(equals + 1));
  }
  return "";
}

std::string CheckConfig(const Config& config) {
  std::error_code error;
  if (config.coordinator.empty()) return "--coordinator is empty (allowed: host:port)";
  if (!base::IsId(config.id)) {
    return fmt::format("--id is '{}' (allowed: [a-z0-9-], 1 to 63 characters)", config.id);
  }
  if (!std::filesystem::is_directory(config.data, error)) {
    return fmt::format("--data is '{}' (allowed: an existing folder)", config.data.string());
  }
  if (config.work.empty()) return "--work is empty (allowed: a folder)";
  if (!std::filesystem::is_regular_file(config.trainer, error) ||
      ::access(config.trainer.c_str(), X_OK) != 0) {
    return fmt::format("--trainer is '{}' (allowed: an executable file)", config.trainer.string());
  }
  return "";
}

void TakeSystem(const std::vector<std::string>& environment, const std::string& hostname,
                const std::filesystem::path& program, Config& config) {
  constexpr std::string_view kVisible = "CUDA_VISIBLE_DEVICES=";
  config.hostname = hostname;
  for (const std::string& entry : environment) {
    if (entry.rfind(kPrefix, 0) == 0) continue;
    if (entry.rfind(kVisible, 0) == 0) {
      config.cuda_visible_devices = entry.substr(kVisible.size());
      config.cuda_visible_devices_is_set = true;
      continue;
    }
    config.environment.push_back(entry);
  }
  config.id_is_default = config.id.empty();
  if (config.id_is_default) config.id = IdOfHostname(hostname);
  if (config.trainer.empty()) config.trainer = program.parent_path() / "bsnn-train";
  config.trainer = std::filesystem::absolute(config.trainer);
  config.data = std::filesystem::absolute(config.data);
}

}  // namespace

std::string IdOfHostname(const std::string& hostname) {
  std::string id;
  for (const char c : hostname.substr(0, 63)) {
    const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    id += base::IsId(std::string(1, lower)) ? lower : '-';
  }
  return id.empty() ? "worker" : id;
}

Parsed ParseConfig(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& environment,
                   const std::filesystem::path& program, const std::string& hostname) {
  Parsed parsed;
  Config& config = parsed.config;
  CLI::App app("Offers this host's slots to a coordinator and runs its jobs' trainers.",
               "bsnn-worker");
  app.footer(kExamples);
  app.set_version_flag("--version", "bsnn-worker " BSNN_VERSION);
  app.allow_config_extras(CLI::config_extras_mode::error);
  AddOptions(app, config);
  std::vector<std::string> all = arguments;
  if (std::string fault = TakeEnvironment(environment, app, arguments, all); !fault.empty()) {
    return Mistake(fault);
  }
  std::reverse(all.begin(), all.end());  // as CLI11 wants them
  // CLI11 reports by exception; this is the one place that sees one.
  try {
    app.parse(std::move(all));
  } catch (const CLI::CallForHelp&) {
    return {.exit = true, .text = app.help()};
  } catch (const CLI::CallForVersion&) {
    return {.exit = true, .text = app.version() + "\n"};
  } catch (const CLI::ParseError& error) {
    return Mistake(std::string(error.what()) + " (see bsnn-worker --help)");
  }
  TakeSystem(environment, hostname, program, config);
  if (std::string fault = CheckConfig(config); !fault.empty()) return Mistake(fault);
  return parsed;
}

Parsed ParseConfigOfProcess(int argc, const char* const* argv) {
  char hostname[HOST_NAME_MAX + 1] = {};
  if (::gethostname(hostname, sizeof hostname - 1) != 0) hostname[0] = '\0';
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  return ParseConfig({argv + 1, argv + argc}, environment, program, hostname);
}

}  // namespace bsnn::worker
