#include "tests/bench/control_plane/running_jobs.h"

#include <absl/time/clock.h>
#include <fmt/format.h>

#include <cstdlib>

namespace bsnn::bench {
namespace {

constexpr int kSlots = 64;

void Require(const grpc::Status& status, const char* what) {
  if (status.ok()) return;
  fmt::print(stderr, "{}: {}\n", what, status.error_message());
  std::exit(1);
}

template <class Stub, class Method, class Request, class Response>
void Call(Stub& stub, Method method, const Request& request, Response& response, const char* what) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  Require((stub.*method)(&context, request, &response), what);
}

std::string Incarnation(int worker) { return fmt::format("incarnation-{}", worker); }

void Register(v1::WorkerService::Stub& stub, int worker) {
  v1::RegisterWorkerRequest request;
  request.set_worker_id(fmt::format("pretended-{}", worker));
  request.set_incarnation(Incarnation(worker));
  for (int i = 0; i < kSlots; ++i) {
    auto& slot = *request.add_slots();
    slot.set_index(i);
    slot.set_device("cpu");
  }
  v1::RegisterWorkerResponse response;
  Call(stub, &v1::WorkerService::Stub::RegisterWorker, request, response, "RegisterWorker");
}

void Start(v1::WorkerService::Stub& stub, RunningJob& job) {
  v1::PublishEventsRequest request;
  request.set_worker(job.worker);
  request.set_job(job.name);
  request.set_epoch(job.epoch);
  auto& event = *request.add_events();
  event.set_sequence(job.next_sequence++);
  event.mutable_event_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  event.mutable_started()->set_device("cpu");
  event.mutable_started()->set_threads(1);
  event.mutable_started()->set_steps_per_epoch(1000);
  event.mutable_started()->set_steps_total(1'000'000);
  v1::PublishEventsResponse response;
  Call(stub, &v1::WorkerService::Stub::PublishEvents, request, response, "PublishEvents");
}

}  // namespace

std::vector<RunningJob> StartJobs(const std::shared_ptr<grpc::Channel>& channel, int count) {
  const auto jobs = v1::JobService::NewStub(channel);
  const auto workers = v1::WorkerService::NewStub(channel);
  const int worker_count = (count + kSlots - 1) / kSlots;
  for (int i = 0; i < worker_count; ++i) Register(*workers, i);
  for (int i = 0; i < count; ++i) {
    v1::CreateJobRequest request;
    request.set_job_id(fmt::format("running-{}", i));
    request.mutable_job()->mutable_spec()->mutable_data()->set_name("generated");
    v1::Job job;
    Call(*jobs, &v1::JobService::Stub::CreateJob, request, job, "CreateJob");
  }
  std::vector<RunningJob> running;
  for (int attempt = 0; attempt < 100 && std::ssize(running) < count; ++attempt) {
    running.clear();
    for (int i = 0; i < worker_count; ++i) {
      v1::SynchronizeRequest request;
      request.set_worker(fmt::format("workers/pretended-{}", i));
      request.set_incarnation(Incarnation(i));
      v1::SynchronizeResponse response;
      Call(*workers, &v1::WorkerService::Stub::Synchronize, request, response, "Synchronize");
      for (const auto& order : response.orders()) {
        running.push_back({order.job(), request.worker(), order.epoch()});
      }
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  if (std::ssize(running) != count) Require({grpc::INTERNAL, "not all were placed"}, "StartJobs");
  for (RunningJob& job : running) Start(*workers, job);
  return running;
}

}  // namespace bsnn::bench
