#include <absl/strings/match.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <array>

#include "server/store/job_store.h"
#include "tests/bench/control_plane/coordinator.h"
#include "tests/bench/control_plane/figures.h"
#include "tests/bench/control_plane/kept_store.h"
#include "tests/bench/control_plane/running_jobs.h"

namespace bsnn::bench {
namespace {

constexpr int kJobs = 100;
constexpr int kLayers = 25;
constexpr int kPointsPerBatch = 1000;
constexpr std::array kNames = {"sign_flip_ratio", "firing_rate", "gradient_mean",
                               "gradient_variance"};

v1::PublishEventsRequest Batch(RunningJob& job, int count, double value) {
  v1::PublishEventsRequest request;
  request.set_worker(job.worker);
  request.set_job(job.name);
  request.set_epoch(job.epoch);
  for (int i = 0; i < count; ++i) {
    auto& event = *request.add_events();
    event.set_sequence(job.next_sequence);
    event.mutable_event_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
    auto& point = *event.mutable_metric();
    point.set_name(kNames[static_cast<size_t>(i) % kNames.size()]);
    point.set_layer(fmt::format("conv{}", i / static_cast<int>(kNames.size()) % kLayers));
    point.set_time_step(-1);
    point.set_step(job.next_sequence / (static_cast<int64_t>(kNames.size()) * kLayers));
    point.set_epoch(1);
    point.set_value(value);
    ++job.next_sequence;
  }
  return request;
}

/// Publishes batches, one at a time for each job.
StartCall Publish(v1::WorkerService::Stub* stub, std::vector<RunningJob>& jobs) {
  struct Call {
    grpc::ClientContext context;
    v1::PublishEventsRequest request;
    v1::PublishEventsResponse response;
  };
  struct Free {
    absl::Mutex mutex;
    std::vector<RunningJob*> jobs;
  };
  auto free = std::make_shared<Free>();
  for (RunningJob& job : jobs) free->jobs.push_back(&job);
  return [=](int64_t, std::function<void(const grpc::Status&)> done) {
    RunningJob* job = nullptr;
    {
      absl::MutexLock lock(&free->mutex);
      job = free->jobs.front();
      free->jobs.erase(free->jobs.begin());
    }
    auto* call = new Call;
    call->request = Batch(*job, kPointsPerBatch, 0.5);
    stub->async()->PublishEvents(&call->context, &call->request, &call->response,
                                 [=](const grpc::Status& status) {
                                   {
                                     absl::MutexLock lock(&free->mutex);
                                     free->jobs.push_back(job);
                                   }
                                   done(status);
                                   delete call;
                                 });
  };
}

absl::Duration TimeToMetrics(v1::WorkerService::Stub& stub, RunningJob& job,
                             const Coordinator& coordinator) {
  const auto request = Batch(job, 1, 0.987654321);
  v1::PublishEventsResponse response;
  grpc::ClientContext context;
  const absl::Time begin = absl::Now();
  (void)stub.PublishEvents(&context, request, &response);
  while (absl::Now() - begin < absl::Seconds(30)) {
    if (absl::StrContains(Scrape(coordinator.metrics_address()), "0.987654321")) break;
  }
  return absl::Now() - begin;
}

void MeasureScrape(const Coordinator& coordinator, Report& report) {
  std::vector<absl::Duration> times;
  std::string text;
  for (int i = 0; i < 21; ++i) {
    const absl::Time begin = absl::Now();
    text = Scrape(coordinator.metrics_address());
    times.push_back(absl::Now() - begin);
  }
  std::sort(times.begin(), times.end());
  const auto lines = std::count(text.begin(), text.end(), '\n');
  report.AddAtMost(fmt::format("scrape of {} series", kJobs * std::ssize(kNames) * kLayers),
                   Milliseconds(times[times.size() / 2]), 15, "ms",
                   fmt::format("longest of 21: {:.1f} ms; {} lines, {} KB",
                               Milliseconds(times.back()), lines, text.size() / 1000));
}

}  // namespace

void MeasurePoints(const Setting& setting, Report& report) {
  std::filesystem::create_directories(setting.work / "points");
  const Coordinator coordinator(setting.coordinator, setting.work / "points" / "data");
  const auto channel = coordinator.NewChannel();
  const auto stub = v1::WorkerService::NewStub(channel);
  std::vector<RunningJob> jobs = StartJobs(channel, kJobs);
  const Load load = RunLoad({.in_flight = 16, .duration = absl::Seconds(setting.quick ? 2 : 10)},
                            Publish(stub.get(), jobs));
  report.AddAtLeast("metric points taken, durable", load.calls_per_second * kPointsPerBatch,
                    100'000, "/s",
                    fmt::format("{} jobs, batches of {}, p99 {:.0f} ms", kJobs, kPointsPerBatch,
                                Milliseconds(load.p99)));
  if (load.failures > 0) report.AddFailure("calls that failed", load.first_failure);
  report.AddAtMost("a point's way to /metrics",
                   absl::ToDoubleSeconds(TimeToMetrics(*stub, jobs.front(), coordinator)), 1, "s");
  MeasureScrape(coordinator, report);
}

void MeasureDeletion(const Setting& setting, Report& report) {
  const int64_t points = setting.quick ? 500'000 : 5'000'000;
  const auto folder = setting.work / "deletion";
  std::filesystem::create_directories(folder);
  { const Coordinator makes_the_folder(setting.coordinator, folder / "data"); }
  FillStore(folder / "data", {.points = points});
  const Coordinator coordinator(setting.coordinator, folder / "data");
  const auto stub = v1::JobService::NewStub(coordinator.NewChannel());
  using Async = v1::JobService::StubInterface::async_interface;
  const StartCall create = CallOf<v1::CreateJobRequest, v1::Job>(
      stub.get(),
      static_cast<void (Async::*)(grpc::ClientContext*, const v1::CreateJobRequest*, v1::Job*,
                                  std::function<void(grpc::Status)>)>(&Async::CreateJob),
      [](int64_t) {
        v1::CreateJobRequest request;
        request.mutable_job()->mutable_spec();
        return request;
      });
  const LoadOptions one = {.in_flight = 1, .duration = absl::Seconds(setting.quick ? 1 : 5)};
  const Load before = RunLoad(one, create);
  v1::DeleteJobRequest request;
  request.set_name("jobs/large");
  google::protobuf::Empty nothing;
  grpc::ClientContext context;
  const absl::Time begin = absl::Now();
  const grpc::Status deleted = stub->DeleteJob(&context, request, &nothing);
  const absl::Duration deletion = absl::Now() - begin;
  if (!deleted.ok()) report.AddNote("DeleteJob FAILED", deleted.error_message());
  const Load after = RunLoad({.in_flight = 1, .duration = one.duration * 2}, create);
  report.AddAtMost(
      fmt::format("longest call while {} points are deleted", points),
      Milliseconds(std::max(after.longest, deletion)), 50, "ms",
      fmt::format("DeleteJob {:.1f}, CreateJob p99 {:.1f}, longest {:.1f}; before: "
                  "p99 {:.1f}, longest {:.1f} ms",
                  Milliseconds(deletion), Milliseconds(after.p99), Milliseconds(after.longest),
                  Milliseconds(before.p99), Milliseconds(before.longest)));
}

}  // namespace bsnn::bench
