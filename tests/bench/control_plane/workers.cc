#include <absl/time/clock.h>

#include "bsnn/v1/worker.grpc.pb.h"
#include "tests/bench/control_plane/coordinator.h"
#include "tests/bench/control_plane/figures.h"

namespace bsnn::bench {
namespace {

using AsyncWorkers = v1::WorkerService::StubInterface::async_interface;

v1::RegisterWorkerRequest NewWorker(int64_t n) {
  v1::RegisterWorkerRequest request;
  request.set_worker_id(fmt::format("host-{}", n));
  request.set_incarnation(fmt::format("incarnation-{}", n));
  request.set_version("bench");
  request.set_hostname(fmt::format("host-{}", n));
  for (int i = 0; i < 8; ++i) {
    auto& slot = *request.add_slots();
    slot.set_index(i);
    slot.set_device("cuda");
    slot.set_description("bench");
  }
  return request;
}

v1::SynchronizeRequest NewHeartbeat(int64_t worker) {
  v1::SynchronizeRequest request;
  request.set_worker(fmt::format("workers/host-{}", worker));
  request.set_incarnation(fmt::format("incarnation-{}", worker));
  return request;
}

}  // namespace

void MeasureWorkers(const Setting& setting, Report& report) {
  const int64_t workers = setting.quick ? 1000 : 10'000;
  std::filesystem::create_directories(setting.work / "workers");
  const Coordinator coordinator(setting.coordinator, setting.work / "workers" / "data");
  const auto stub = v1::WorkerService::NewStub(coordinator.NewChannel());
  const Load registered = RunLoad(
      {.in_flight = 64, .duration = absl::Minutes(5), .calls_max = workers},
      CallOf<v1::RegisterWorkerRequest, v1::RegisterWorkerResponse>(
          stub.get(),
          static_cast<void (AsyncWorkers::*)(
              grpc::ClientContext*, const v1::RegisterWorkerRequest*, v1::RegisterWorkerResponse*,
              std::function<void(grpc::Status)>)>(&AsyncWorkers::RegisterWorker),
          NewWorker));
  report.AddNote(fmt::format("RegisterWorker, {} workers of 8 slots", workers),
                 fmt::format("{:.0f}/s, p99 {:.1f} ms", registered.calls_per_second,
                             Milliseconds(registered.p99)));
  if (registered.failures > 0) report.AddFailure("calls that failed", registered.first_failure);
  const double rate = static_cast<double>(workers) / 5;
  const absl::Duration duration = absl::Seconds(setting.quick ? 3 : 15);
  const StartCall synchronize = CallOf<v1::SynchronizeRequest, v1::SynchronizeResponse>(
      stub.get(),
      static_cast<void (AsyncWorkers::*)(
          grpc::ClientContext*, const v1::SynchronizeRequest*, v1::SynchronizeResponse*,
          std::function<void(grpc::Status)>)>(&AsyncWorkers::Synchronize),
      [workers](int64_t n) { return NewHeartbeat(n % workers); });
  const absl::Duration before = coordinator.ProcessorTime();
  const absl::Time begin = absl::Now();
  const Load beats = RunLoad({.duration = duration, .calls_per_second = rate}, synchronize);
  const double cores =
      absl::FDivDuration(coordinator.ProcessorTime() - before, absl::Now() - begin);
  report.AddAtMost(fmt::format("processor for {} workers, a call each 5 s", workers), cores, 1,
                   "cores",
                   fmt::format("{:.0f} calls/s, p99 {:.1f} ms", beats.calls_per_second,
                               Milliseconds(beats.p99)));
  if (beats.failures > 0) report.AddFailure("calls that failed", beats.first_failure);
}

}  // namespace bsnn::bench
