#include <absl/time/clock.h>

#include "bsnn/v1/job.grpc.pb.h"
#include "tests/bench/control_plane/coordinator.h"
#include "tests/bench/control_plane/figures.h"
#include "tests/bench/control_plane/load.h"

namespace bsnn::bench {
namespace {

v1::CreateJobRequest NewJob(int64_t n) {
  v1::CreateJobRequest request;
  request.set_request_id(fmt::format("00000000-0000-4000-8000-{:012}", n));
  request.mutable_job()->set_display_name("bench");
  auto& spec = *request.mutable_job()->mutable_spec();
  spec.mutable_data()->set_name("generated");
  spec.mutable_training()->set_seed(static_cast<int32_t>(n % 1000));
  return request;
}

std::string Describe(const Load& load, double check_rate) {
  return fmt::format("{:.0f}/s beside Check's {:.0f}/s", load.calls_per_second, check_rate);
}

}  // namespace

void MeasureCalls(const Setting& setting, Report& report) {
  std::filesystem::create_directories(setting.work / "calls");
  const Coordinator coordinator(setting.coordinator, setting.work / "calls" / "data");
  const auto channel = coordinator.NewChannel();
  const auto stub = v1::JobService::NewStub(channel);
  const LoadOptions options = {.duration = absl::Seconds(setting.quick ? 1 : 5)};
  const StartCall check = HealthCheck(channel);
  const StartCall create = CallOf<v1::CreateJobRequest, v1::Job>(
      stub.get(),
      static_cast<void (v1::JobService::StubInterface::async_interface::*)(
          grpc::ClientContext*, const v1::CreateJobRequest*, v1::Job*,
          std::function<void(grpc::Status)>)>(
          &v1::JobService::StubInterface::async_interface::CreateJob),
      NewJob);
  v1::Job job;
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    const grpc::Status made = stub->CreateJob(&context, NewJob(999'999'999), &job);
    if (!made.ok()) fmt::print("CreateJob: {}\n", made.error_message());
  }
  const StartCall get = CallOf<v1::GetJobRequest, v1::Job>(
      stub.get(),
      static_cast<void (v1::JobService::StubInterface::async_interface::*)(
          grpc::ClientContext*, const v1::GetJobRequest*, v1::Job*,
          std::function<void(grpc::Status)>)>(
          &v1::JobService::StubInterface::async_interface::GetJob),
      [name = job.name()](int64_t) {
        v1::GetJobRequest request;
        request.set_name(name);
        return request;
      });
  RunLoad({.duration = absl::Seconds(1)}, check);  // warm
  // Check before and after, so that a drift of the machine's speed shows.
  const Load check_before = RunLoad(options, check);
  const Load got = RunLoad(options, get);
  // Request numbers go on, so that no call is a repeat.
  int64_t first = 0;
  const StartCall create_next = [&](int64_t n, auto done) { create(first + n, std::move(done)); };
  const Load created = RunLoad(options, create_next);
  const Load check_after = RunLoad(options, check);
  const double rate = (check_before.calls_per_second + check_after.calls_per_second) / 2;
  report.AddNote(
      "Health/Check, 128 in flight",
      fmt::format("{:.0f}/s before, {:.0f}/s after; p99 {:.1f} ms", check_before.calls_per_second,
                  check_after.calls_per_second, Milliseconds(check_after.p99)));
  for (const Load* load : {&check_before, &got, &created, &check_after}) {
    if (load->failures > 0) report.AddFailure("calls that failed", load->first_failure);
  }
  report.AddAtLeast("durable CreateJob / Check", created.calls_per_second / rate, 0.35, "",
                    Describe(created, rate));
  report.AddAtMost("durable CreateJob, p99", Milliseconds(created.p99), 25, "ms",
                   fmt::format("median {:.1f}, longest {:.0f} ms", Milliseconds(created.median),
                               Milliseconds(created.longest)));
  report.AddAtLeast("GetJob / Check", got.calls_per_second / rate, 0.6, "", Describe(got, rate));
}

}  // namespace bsnn::bench
