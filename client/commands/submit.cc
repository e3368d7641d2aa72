#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/fault.h"
#include "base/file.h"
#include "base/limits.h"
#include "client/commands/command.h"
#include "spec/job_spec.h"
#include "wire/spec.h"

namespace bsnn::client {
namespace {

using Json = nlohmann::json;

struct SubmitOptions {
  std::string file;
  std::vector<std::string> settings;
  std::vector<std::string> labels;
  std::string name, job_id, request_id;
  std::string network, kind, data;
  std::optional<int> time_steps, epochs, batch_size, seed, priority;
  bool validate_only = false;
  bool watch = false;
};

/// Sets a dotted path to a value: JSON where it parses as such, else text.
void Set(Json& json, const std::string& path, const std::string& value) {
  Json parsed = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  const size_t dot = path.find('.');
  Json& section = json[path.substr(0, dot)];
  if (dot == std::string::npos) {
    section = parsed.is_discarded() ? Json(value) : parsed;
  } else if (section.is_null() || section.is_object()) {
    section[path.substr(dot + 1)] = parsed.is_discarded() ? Json(value) : parsed;
  }
}

absl::StatusOr<Json> LoadSpec(const SubmitOptions& options) {
  Json json = Json::object();
  if (!options.file.empty()) {
    auto text =
        base::ReadFile(options.file == "-" ? "/dev/stdin" : options.file, base::kSpecBytesMax);
    if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
    json = Json::parse(*text, nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
    if (!json.is_object()) {
      return base::InvalidFields({{options.file, "not JSON", "a JSON object; see docs/spec.md"}});
    }
  }
  const auto set_word = [&](const char* path, const std::string& value) {
    if (!value.empty()) Set(json, path, Json(value).dump());
  };
  const auto set_number = [&](const char* path, const std::optional<int>& value) {
    if (value) Set(json, path, std::to_string(*value));
  };
  set_word("network.name", options.network);
  set_word("network.kind", options.kind);
  set_word("data.name", options.data);
  set_number("network.time_steps", options.time_steps);
  set_number("training.epochs", options.epochs);
  set_number("training.batch_size", options.batch_size);
  set_number("training.seed", options.seed);
  set_number("scheduling.priority", options.priority);
  for (const std::string& setting : options.settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return base::InvalidFields({{"--set", setting, "field=value, such as training.epochs=5"}});
    }
    Set(json, setting.substr(0, equals), setting.substr(equals + 1));
  }
  return json;
}

absl::StatusOr<v1::Job> MakeJob(const SubmitOptions& options) {
  auto json = LoadSpec(options);
  if (!json.ok()) return json.status();
  std::vector<base::FieldFault> faults;
  const spec::JobSpec spec = spec::FromJson(*json, "", faults);
  if (!faults.empty()) return base::InvalidFields(faults);
  v1::Job job;
  job.set_display_name(options.name);
  *job.mutable_spec() = wire::ToProto(spec);
  for (const std::string& label : options.labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos) {
      return base::InvalidFields({{"--label", label, "key=value"}});
    }
    (*job.mutable_labels())[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return job;
}

int Submit(const Context& context, const SubmitOptions& options) {
  const auto job = MakeJob(options);
  if (!job.ok()) return Fail(context, "the job's specification is wrong", job.status());
  sdk::Client client = context.MakeClient();
  const auto created = client.CreateJob({.job = *job,
                                         .job_id = options.job_id,
                                         .request_id = options.request_id,
                                         .validate_only = options.validate_only});
  if (!created.ok()) return Fail(context, "the job was not created", created.status());
  if (options.validate_only) {
    fmt::print("valid: nothing was created\n");
    return kOk;
  }
  if (context.format == Format::kName) {
    fmt::print("{}\n", created->name());
  } else if (context.format == Format::kTable) {
    fmt::print("created {}  ({})\n", created->name(), Printable(created->state_message()));
    if (!options.watch) fmt::print("watch it with: bsnnctl watch {}\n", created->name());
  } else {
    fmt::print("{}", PrintMessage(*created, context.format));
  }
  return options.watch ? WatchToEnd(context, client, created->name()) : kOk;
}

}  // namespace

void AddSubmit(CLI::App& app, Context& context, Action& action) {
  auto options = std::make_shared<SubmitOptions>();
  CLI::App* command = app.add_subcommand("submit", "Queue a training job");
  command->add_option("file", options->file,
                      "Job file (JSON, docs/spec.md); '-' is standard input");
  command->add_option("--set", options->settings,
                      "Any fields: --set training.epochs=5 optimizer.learning_rate=0.1");
  command->add_option("--name", options->name, "Name for people");
  command->add_option("--id", options->job_id,
                      "Wanted id, [a-z0-9-]; the server chooses otherwise");
  command->add_option("--label", options->labels, "key=value, one or more");
  command->add_option("--network", options->network, "network.name");
  command->add_option("--kind", options->kind, "network.kind: bsnn_agmm, bsnn, snn");
  command->add_option("--data", options->data,
                      "data.name: mnist, fashion_mnist, generated, cifar10, cifar100, "
                      "image_folder, n_mnist, cifar10_dvs, dvs_gesture");
  command->add_option("--time-steps", options->time_steps, "network.time_steps");
  command->add_option("--epochs", options->epochs, "training.epochs");
  command->add_option("--batch-size", options->batch_size, "training.batch_size");
  command->add_option("--seed", options->seed, "training.seed");
  command->add_option("--priority", options->priority, "scheduling.priority: larger is sooner");
  command->add_option("--request-id", options->request_id, "UUID that makes a repeat harmless");
  command->add_flag("--validate-only", options->validate_only, "Check everything, create nothing");
  command->add_flag("--watch,-w", options->watch, "Watch it until its end");
  command->footer(
      "Flags override the file, which stands before --set and --label: these take all words that "
      "follow.\n"
      "Examples:\n"
      "  bsnnctl submit job.json --watch\n"
      "  bsnnctl submit --data mnist --epochs 3 --name first\n"
      "  bsnnctl submit job.json --set network.kind=bsnn training.seed=2 -o name");
  command->callback([&context, &action, options] {
    action = [&context, options] { return Submit(context, *options); };
  });
}

}  // namespace bsnn::client
