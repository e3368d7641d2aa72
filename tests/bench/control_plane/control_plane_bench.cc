// How fast the coordinator is, beside what it stands on: docs/performance.md has the figures.
//
//   control_plane_bench --coordinator build/release/bin/bsnn-coordinator [--quick] [--only calls]
//
// Every figure that is a rate is printed beside the rate of grpc.health.v1.Health/Check of the same
// process in the same run. Ends with 1 where a goal is missed.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/control_plane/download.h"
#include "tests/bench/control_plane/figures.h"

int main(int argc, char** argv) {
  using namespace bsnn::bench;
  Setting setting;
  std::vector<std::string> only;
  int64_t raw_stream_bytes = 0;
  CLI::App app{"Measures bsnn-coordinator."};
  app.add_option("--coordinator", setting.coordinator, "the program");
  app.add_flag("--quick", setting.quick, "small sizes and short times: to see that it runs");
  app.add_option("--only", only,
                 "calls, kept, kept-million, workers, points, deletion, download, "
                 "decisions");
  app.add_option("--serve-raw-stream", raw_stream_bytes, "private: be the raw gRPC server");
  CLI11_PARSE(app, argc, argv);
  if (raw_stream_bytes > 0) ServeRawStream(raw_stream_bytes);
  if (setting.coordinator.empty()) {
    fmt::print(stderr, "--coordinator is required\n");
    return 2;
  }
  char folder[] = "/var/tmp/control-plane-XXXXXX";
  setting.work = mkdtemp(folder);
  Report report;
  fmt::print("{} processors; load before: ", std::thread::hardware_concurrency());
  double load[1] = {};
  getloadavg(load, 1);
  fmt::print("{:.2f} (above 0.5 the figures are not the program's alone)\n", load[0]);
  report.PrintHead();
  const std::vector<std::pair<std::string, std::function<void()>>> figures = {
      {"calls", [&] { MeasureCalls(setting, report); }},
      {"kept", [&] { MeasureKeptJobs(setting, setting.quick ? 20'000 : 200'000, report); }},
      {"kept-million",
       [&] {
         if (!setting.quick) MeasureKeptJobs(setting, 1'000'000, report);
       }},
      {"workers", [&] { MeasureWorkers(setting, report); }},
      {"points", [&] { MeasurePoints(setting, report); }},
      {"deletion", [&] { MeasureDeletion(setting, report); }},
      {"download", [&] { MeasureDownload(setting, report); }},
      {"decisions", [&] { MeasureDecisions(setting, report); }},
  };
  for (const auto& [name, measure] : figures) {
    if (only.empty() || std::find(only.begin(), only.end(), name) != only.end()) measure();
  }
  std::filesystem::remove_all(setting.work);
  return report.missed() == 0 ? 0 : 1;
}
