#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>

#include <cstdlib>

#include "bsnn/v1/job.grpc.pb.h"
#include "server/store/sqlite/sqlite_job_store.h"
#include "tests/bench/control_plane/coordinator.h"
#include "tests/bench/control_plane/figures.h"
#include "tests/bench/control_plane/kept_store.h"

namespace bsnn::bench {
namespace {

int64_t BytesOf(const std::filesystem::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

StartCall ListCall(v1::JobService::Stub* stub, std::vector<v1::Job::State> states) {
  return CallOf<v1::ListJobsRequest, v1::ListJobsResponse>(
      stub,
      static_cast<void (v1::JobService::StubInterface::async_interface::*)(
          grpc::ClientContext*, const v1::ListJobsRequest*, v1::ListJobsResponse*,
          std::function<void(grpc::Status)>)>(
          &v1::JobService::StubInterface::async_interface::ListJobs),
      [states](int64_t) {
        v1::ListJobsRequest request;
        request.set_page_size(100);
        for (const auto state : states) request.add_states(state);
        return request;
      });
}

}  // namespace

void MeasureKeptJobs(const Setting& setting, int64_t jobs, Report& report) {
  const auto folder = setting.work / fmt::format("kept-{}", jobs);
  std::filesystem::create_directories(folder);
  int64_t empty_bytes = 0;
  {
    const Coordinator empty(setting.coordinator, folder / "data");  // makes the folder
    empty_bytes = empty.ResidentBytes();
  }
  FillStore(folder / "data", {.queued = jobs});
  const Coordinator coordinator(setting.coordinator, folder / "data");
  const std::string of = fmt::format(", {} queued jobs of distinct specs", jobs);
  report.AddAtMost("start" + of, absl::ToDoubleSeconds(coordinator.start_time()),
                   jobs > 200'000 ? 10 : 2, "s");
  report.AddAtMost(
      "resident memory a job" + of,
      static_cast<double>(coordinator.ResidentBytes() - empty_bytes) / static_cast<double>(jobs),
      1024, "bytes");
  report.AddAtMost("store a job" + of,
                   static_cast<double>(BytesOf(folder / "data")) / static_cast<double>(jobs), 1024,
                   "bytes");
  const auto stub = v1::JobService::NewStub(coordinator.NewChannel());
  const LoadOptions options = {.in_flight = 4, .duration = absl::Seconds(setting.quick ? 1 : 4)};
  const auto list = [&](const std::string& what, std::vector<v1::Job::State> states) {
    const Load load = RunLoad(options, ListCall(stub.get(), std::move(states)));
    report.AddAtMost("ListJobs of 100, " + what + ", p99" + of, Milliseconds(load.p99), 10, "ms",
                     fmt::format("{:.0f}/s, 4 in flight", load.calls_per_second));
    if (load.failures > 0) report.AddFailure("ListJobs", load.first_failure);
  };
  list("any state", {});
  list("queued", {v1::Job::QUEUED});
  list("a state no job has", {v1::Job::FAILED});
}

}  // namespace bsnn::bench
