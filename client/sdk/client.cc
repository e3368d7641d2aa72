#include "client/sdk/client.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/status.h"
#include "client/sdk/impl.h"

namespace bsnn::sdk {
namespace {

std::string MakeUuid(const base::RandomBits& bits) {
  const uint64_t high = (bits() & ~uint64_t{0xF000}) | 0x4000;
  const uint64_t low = (bits() & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xFFFF,
                     high & 0xFFFF, low >> 48, low & 0xFFFFFFFFFFFF);
}

/// What one connection of a stream gave.
struct Round {
  absl::Status status;
  bool moved = false;
};

/// Reads a server stream to its end; `take` returns whether to go on.
template <class Reply, class Reader, class Take>
Round ReadAll(grpc::ClientContext& context, Reader& reader, Take&& take) {
  Round round;
  Reply reply;
  while (reader.Read(&reply)) {
    round.moved = true;
    if (take(reply)) continue;
    context.TryCancel();
    reader.Finish();
    round.status = absl::OkStatus();
    return round;
  }
  round.status = wire::FromGrpc(reader.Finish());
  return round;
}

/// A job may have been created although no answer came: says how a repeat makes no second one.
absl::Status NameRequestId(const absl::Status& status, const std::string& request_id) {
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
  absl::Status named(
      status.code(),
      fmt::format("{}; the job may exist: with request id {} a repeat makes no second one",
                  std::string(status.message()), request_id));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { named.SetPayload(url, payload); });
  return named;
}

template <class T>
std::vector<T> ToVector(const google::protobuf::RepeatedPtrField<T>& field) {
  return {field.begin(), field.end()};
}

}  // namespace

Client::Impl::Impl(const std::string& address, const ClientOptions& client_options,
                   const base::Clock& real_clock, base::RandomBits random_bits)
    : options(client_options),
      clock(real_clock),
      bits(std::move(random_bits)),
      channel(wire::MakeChannel(address)),
      jobs(v1::JobService::NewStub(channel)),
      checkpoints(v1::CheckpointService::NewStub(channel)),
      workers(v1::WorkerService::NewStub(channel)),
      server(v1::ServerService::NewStub(channel)) {}

void Client::Impl::Pause(absl::Duration duration) const {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, options.stop, absl::ToChronoNanoseconds(duration),
                                         [] { return false; });
}

Client::Client(const std::string& address, const ClientOptions& options, const base::Clock& clock,
               base::RandomBits bits)
    : impl_(std::make_unique<Impl>(address, options, clock, std::move(bits))) {}

Client::~Client() = default;

absl::StatusOr<v1::Job> Client::CreateJob(const CreateJobOptions& options) {
  v1::CreateJobRequest request;
  *request.mutable_job() = options.job;
  request.set_job_id(options.job_id);
  request.set_request_id(options.request_id.empty() ? MakeUuid(impl_->bits) : options.request_id);
  request.set_validate_only(options.validate_only);
  v1::Job job;
  const absl::Status status = impl_->Retry(
      [&](grpc::ClientContext& context) { return impl_->jobs->CreateJob(&context, request, &job); },
      /*has_request_id=*/true);
  if (!status.ok()) return NameRequestId(status, request.request_id());
  return job;
}

absl::StatusOr<v1::Job> Client::GetJob(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  RETURN_IF_ERROR(impl_->Retry(
      [&](grpc::ClientContext& context) { return impl_->jobs->GetJob(&context, request, &job); }));
  return job;
}

absl::StatusOr<std::vector<v1::Job>> Client::ListJobs(const ListJobsOptions& options) {
  v1::ListJobsRequest request;
  for (const v1::Job::State state : options.states) request.add_states(state);
  if (options.basic) request.set_view(v1::ListJobsRequest::BASIC);
  // The answer to a limit of one page needs one call; without a limit the largest pages need
  // fewest.
  if (options.count_max == 0) request.set_page_size(base::kPageSizeMax);
  std::vector<v1::Job> jobs;
  do {
    if (options.count_max > 0) {
      request.set_page_size(options.count_max - static_cast<int>(jobs.size()));
    }
    v1::ListJobsResponse reply;
    RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
      return impl_->jobs->ListJobs(&context, request, &reply);
    }));
    jobs.insert(jobs.end(), reply.jobs().begin(), reply.jobs().end());
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty() &&
           (options.count_max == 0 || static_cast<int>(jobs.size()) < options.count_max));
  return jobs;
}

absl::StatusOr<v1::Job> Client::CancelJob(const std::string& name) {
  v1::CancelJobRequest request;
  request.set_name(name);
  v1::Job job;
  RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
    return impl_->jobs->CancelJob(&context, request, &job);
  }));
  return job;
}

absl::Status Client::DeleteJob(const std::string& name) {
  v1::DeleteJobRequest request;
  request.set_name(name);
  google::protobuf::Empty reply;
  return impl_->Retry([&](grpc::ClientContext& context) {
    return impl_->jobs->DeleteJob(&context, request, &reply);
  });
}

absl::Status Client::WatchJob(const std::string& name, const JobCallback& callback) {
  v1::WatchJobRequest request;
  request.set_name(name);
  return impl_->Resume(
      [&](grpc::ClientContext& context) {
        auto reader = impl_->jobs->WatchJob(&context, request);
        return ReadAll<v1::Job>(context, *reader, callback);
      },
      /*follows=*/true);
}

absl::Status Client::StreamMetrics(const std::string& job, const MetricsOptions& options,
                                   const PointsCallback& callback) {
  if (!options.layer.empty() && !options.follow) return ListLayer(job, options, callback);
  v1::StreamMetricsRequest request;
  request.set_parent(job);
  request.set_follow(options.follow);
  request.set_metric(options.metric);
  if (options.cursor != nullptr) request.set_cursor(*options.cursor);
  return impl_->Resume(
      [&](grpc::ClientContext& context) {
        auto reader = impl_->jobs->StreamMetrics(&context, request);
        return ReadAll<v1::StreamMetricsResponse>(context, *reader, [&](const auto& reply) {
          request.set_cursor(reply.cursor());
          std::vector<v1::MetricPoint> points = ToVector(reply.points());
          std::erase_if(points, [&](const v1::MetricPoint& point) {
            return !options.layer.empty() && point.layer() != options.layer;
          });
          const bool go_on = callback(points);
          if (options.cursor != nullptr) *options.cursor = reply.cursor();
          return go_on;
        });
      },
      options.follow);
}

absl::Status Client::ListLayer(const std::string& job, const MetricsOptions& options,
                               const PointsCallback& callback) {
  v1::ListMetricsRequest request;
  request.set_parent(job);
  request.set_metric(options.metric);
  request.set_layer(options.layer);
  do {
    v1::ListMetricsResponse reply;
    RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
      return impl_->jobs->ListMetrics(&context, request, &reply);
    }));
    if (!callback(ToVector(reply.points()))) break;
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::Status Client::StreamLogs(const std::string& job, const LogsOptions& options,
                                const LogsCallback& callback) {
  v1::StreamLogsRequest request;
  request.set_parent(job);
  request.set_follow(options.follow);
  request.set_tail(options.tail);
  return impl_->Resume(
      [&](grpc::ClientContext& context) {
        auto reader = impl_->jobs->StreamLogs(&context, request);
        return ReadAll<v1::StreamLogsResponse>(context, *reader, [&](const auto& reply) {
          request.set_cursor(reply.cursor());
          request.set_tail(0);
          return callback(ToVector(reply.entries()));
        });
      },
      options.follow);
}

absl::StatusOr<v1::Checkpoint> Client::GetCheckpoint(const std::string& name) {
  v1::GetCheckpointRequest request;
  request.set_name(name);
  v1::Checkpoint checkpoint;
  RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
    return impl_->checkpoints->GetCheckpoint(&context, request, &checkpoint);
  }));
  return checkpoint;
}

absl::StatusOr<std::vector<v1::Checkpoint>> Client::ListCheckpoints(const std::string& job) {
  v1::ListCheckpointsRequest request;
  request.set_parent(job);
  std::vector<v1::Checkpoint> checkpoints;
  do {
    v1::ListCheckpointsResponse reply;
    RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
      return impl_->checkpoints->ListCheckpoints(&context, request, &reply);
    }));
    checkpoints.insert(checkpoints.end(), reply.checkpoints().begin(), reply.checkpoints().end());
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return checkpoints;
}

absl::StatusOr<v1::Checkpoint> Client::PinCheckpoint(const std::string& name, bool pinned) {
  v1::PinCheckpointRequest request;
  request.set_name(name);
  request.set_pinned(pinned);
  v1::Checkpoint checkpoint;
  RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
    return impl_->checkpoints->PinCheckpoint(&context, request, &checkpoint);
  }));
  return checkpoint;
}

absl::Status Client::DeleteCheckpoint(const std::string& name) {
  v1::DeleteCheckpointRequest request;
  request.set_name(name);
  google::protobuf::Empty reply;
  return impl_->Retry([&](grpc::ClientContext& context) {
    return impl_->checkpoints->DeleteCheckpoint(&context, request, &reply);
  });
}

absl::StatusOr<std::vector<v1::Worker>> Client::ListWorkers() {
  v1::ListWorkersRequest request;
  std::vector<v1::Worker> workers;
  do {
    v1::ListWorkersResponse reply;
    RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
      return impl_->workers->ListWorkers(&context, request, &reply);
    }));
    workers.insert(workers.end(), reply.workers().begin(), reply.workers().end());
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return workers;
}

absl::StatusOr<v1::ServerInfo> Client::GetServerInfo() {
  v1::ServerInfo info;
  RETURN_IF_ERROR(impl_->Retry([&](grpc::ClientContext& context) {
    return impl_->server->GetServerInfo(&context, v1::GetServerInfoRequest(), &info);
  }));
  return info;
}

bool HasEnded(v1::Job::State state) {
  return state == v1::Job::SUCCEEDED || state == v1::Job::FAILED || state == v1::Job::CANCELLED ||
         state == v1::Job::EXPIRED;
}

}  // namespace bsnn::sdk
