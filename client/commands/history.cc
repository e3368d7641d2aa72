// logs and metrics: the commands that read a job's history.
#include <absl/time/time.h>
#include <fmt/format.h>

#include "client/commands/command.h"

namespace bsnn::client {
namespace {

void PrintEntry(const v1::LogEntry& entry) {
  const absl::Time time = absl::FromUnixSeconds(entry.log_time().seconds()) +
                          absl::Nanoseconds(entry.log_time().nanos());
  fmt::print("{} {:<7} {}\n", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone()),
             PrintState(v1::Severity_Name(entry.line().severity())),
             Printable(entry.line().message()));
}

int Logs(const Context& context, const std::string& job, const sdk::LogsOptions& options) {
  const absl::Status status =
      context.MakeClient().StreamLogs(job, options, [&](const std::vector<v1::LogEntry>& entries) {
        for (const v1::LogEntry& entry : entries) {
          if (context.format == Format::kTable) {
            PrintEntry(entry);
          } else {
            // A document each, so that a stream of them can be read while it goes on.
            fmt::print("{}{}", context.format == Format::kYaml ? "---\n" : "",
                       PrintMessage(entry, context.format));
          }
        }
        std::fflush(stdout);
        return !context.interrupted();
      });
  if (context.interrupted()) return kInterrupted;
  return status.ok() ? kOk : Fail(context, "cannot read the logs of " + job, status);
}

struct MetricsChoice {
  std::string metric, layer;
  bool follow = false;
  bool csv = false;
};

std::vector<std::string> RowOf(const v1::MetricPoint& point) {
  return {std::to_string(point.step()),
          std::to_string(point.epoch()),
          point.name(),
          point.layer().empty() ? "-" : point.layer(),
          point.split().empty() ? "-" : point.split(),
          point.time_step() < 0 ? "-" : std::to_string(point.time_step()),
          PrintNumber(point.value())};
}

void PrintLine(const std::vector<std::string>& cells, char separator) {
  std::string line;
  for (const std::string& cell : cells)
    line += (line.empty() ? "" : std::string(1, separator)) + Printable(cell);
  fmt::print("{}\n", line);
}

int Metrics(const Context& context, const std::string& job, const MetricsChoice& choice) {
  v1::ListMetricsResponse all;
  const std::vector<std::string> header = {"step",  "epoch", "metric", "layer",
                                           "split", "t",     "value"};
  const bool lines = choice.csv || choice.follow;
  if (lines) PrintLine(header, ',');
  TableWriter table({">STEP", ">EPOCH", "METRIC", "LAYER", "SPLIT", ">T", ">VALUE"});
  const absl::Status status = context.MakeClient().StreamMetrics(
      job, {.metric = choice.metric, .layer = choice.layer, .follow = choice.follow},
      [&](const auto& points) {
        for (const v1::MetricPoint& point : points) {
          if (lines) {
            PrintLine(RowOf(point), ',');
          } else if (context.format == Format::kTable) {
            fmt::print("{}", table.Add(RowOf(point)));
          } else {
            *all.add_points() = point;
          }
        }
        std::fflush(stdout);
        return !context.interrupted();
      });
  if (context.interrupted()) return kInterrupted;
  if (!status.ok()) return Fail(context, "cannot read the metrics of " + job, status);
  if (lines) return kOk;
  fmt::print("{}",
             context.format == Format::kTable ? table.End() : PrintMessage(all, context.format));
  return kOk;
}

}  // namespace

void AddLogs(CLI::App& app, Context& context, Action& action) {
  auto name = std::make_shared<std::string>();
  auto options = std::make_shared<sdk::LogsOptions>();
  CLI::App* command = app.add_subcommand("logs", "Print a job's log");
  command->add_option("job", *name, "Job id")->required();
  command->add_flag("--follow,-f", options->follow, "Go on until the job has ended");
  command->add_option("--tail", options->tail, "Only the last n lines")
      ->check(CLI::Range(0, 100'000));
  command->footer("Examples:\n  bsnnctl logs mnist-7k3q -f\n  bsnnctl logs mnist-7k3q --tail 50");
  command->callback([&context, &action, name, options] {
    action = [&context, name, options] { return Logs(context, JobNameOf(*name), *options); };
  });
}

void AddMetrics(CLI::App& app, Context& context, Action& action) {
  auto name = std::make_shared<std::string>();
  auto choice = std::make_shared<MetricsChoice>();
  CLI::App* command = app.add_subcommand("metrics", "Print a job's metric history");
  command->add_option("job", *name, "Job id")->required();
  command->add_option("--metric", choice->metric, "Only this metric (docs/metrics.md)");
  command->add_option("--layer", choice->layer, "Only this layer; 'all' is the pooled value");
  command->add_flag("--follow,-f", choice->follow, "Go on until the job has ended, as CSV lines");
  command->add_flag("--csv", choice->csv, "Comma-separated lines");
  command->footer(
      "Examples:\n"
      "  bsnnctl metrics mnist-7k3q --metric sign_flip_ratio\n"
      "  bsnnctl metrics mnist-7k3q --metric accuracy_ratio --csv > accuracy.csv");
  command->callback([&context, &action, name, choice] {
    action = [&context, name, choice] { return Metrics(context, JobNameOf(*name), *choice); };
  });
}

}  // namespace bsnn::client
