#include "server/api/job_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"
#include "base/status.h"
#include "server/api/blob_files.h"
#include "server/api/call.h"
#include "server/api/job_messages.h"
#include "server/api/job_streams.h"
#include "server/api/page_token.h"
#include "server/api/request_check.h"
#include "wire/event.h"
#include "wire/names.h"

namespace bsnn::api {
namespace {

// A page of jobs or points ends early before its message outgrows what clients accept.
constexpr size_t kPageBytesMax = 3 << 20;

/// The wanted id is free, or belongs to the same request.
absl::Status CheckIdFree(Backend& backend, const scheduler::CreateJobRequest& request) {
  if (request.wanted_id.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const base::JobId id, base::JobId::Make(request.wanted_id));
  const auto taken = backend.scheduler.GetJob(backend.Now(), id);
  if (!taken.ok()) return absl::OkStatus();
  if (!request.request_id.empty() && taken->record.request_id == request.request_id) {
    return absl::OkStatus();
  }
  return base::WithReason(
      absl::AlreadyExistsError(fmt::format("job id '{}' is taken", request.wanted_id)),
      {"JOB_ID_TAKEN", {{"job", request.wanted_id}}});
}

absl::StatusOr<scheduler::ListJobsRequest> FromProto(const v1::ListJobsRequest& request,
                                                     std::string& scope) {
  RequestCheck check;
  Refuse(check, !request.filter().empty(), "filter", request.filter());
  Refuse(check, !request.order_by().empty(), "order_by", request.order_by());
  check.Require(v1::ListJobsRequest::View_IsValid(request.view()), "view",
                std::to_string(request.view()), "BASIC, FULL");
  scheduler::ListJobsRequest list;
  list.limit = PageSize(check, request.page_size(), base::kPageSizeDefault, base::kPageSizeMax);
  check.Require(request.states_size() <= 32, "states",
                fmt::format("{} states", request.states_size()), "at most 32");
  scope = "ListJobs";
  for (int i = 0; i < std::min(request.states_size(), 32); ++i) {
    const int state = request.states(i);
    check.Require(state >= v1::Job::QUEUED && state <= v1::Job::EXPIRED,
                  fmt::format("states[{}]", i), std::to_string(state), "a state of Job.State");
    list.states.push_back(static_cast<store::JobState>(state));
    scope += fmt::format(" {}", state);
  }
  if (!check.ok()) return check.status();
  ASSIGN_OR_RETURN(list.before, ReadNumberToken("page_token", scope, request.page_token()));
  return list;
}

absl::Status FillMetrics(Backend& backend, const v1::ListMetricsRequest& request,
                         v1::ListMetricsResponse& reply) {
  RequestCheck check;
  const base::JobId job = check.Take(wire::ParseJobName("parent", request.parent()));
  const int limit =
      PageSize(check, request.page_size(), base::kMetricPageSizeDefault, base::kMetricPageSizeMax);
  for (const auto& [field, text] :
       {std::pair("metric", &request.metric()), std::pair("layer", &request.layer())}) {
    check.Require(text->size() <= base::kMetricTextBytesMax, field, *text, "at most 64 characters");
  }
  if (!check.ok()) return check.status();
  ASSIGN_OR_RETURN(const auto view, backend.scheduler.GetJob(backend.Now(), job));
  const std::string scope = fmt::format("ListMetrics {}#{} {}/{}", job.value(),
                                        view.record.sequence, request.metric(), request.layer());
  ASSIGN_OR_RETURN(const int64_t after, ReadNumberToken("page_token", scope, request.page_token()));
  ASSIGN_OR_RETURN(
      const store::MetricsPage page,
      backend.histories.ListMetrics(job, {after, limit, request.metric(), request.layer()}));
  for (const auto& point : page.points) *reply.add_points() = wire::ToProto(point);
  if (page.more) reply.set_next_page_token(MakePageToken(scope, std::to_string(page.cursor)));
  return absl::OkStatus();
}

}  // namespace

JobService::JobService(Gate& gate) : gate_(gate) {
  SetMessageAllocatorFor_CreateJob(&create_messages_);
  SetMessageAllocatorFor_GetJob(&get_messages_);
  SetMessageAllocatorFor_ListJobs(&list_messages_);
  SetMessageAllocatorFor_ListMetrics(&metrics_messages_);
}

grpc::ServerUnaryReactor* JobService::CreateJob(grpc::CallbackServerContext* context,
                                                const v1::CreateJobRequest* request,
                                                v1::Job* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const scheduler::CreateJobRequest wanted, FromProto(*request));
    if (request->validate_only()) {
      RETURN_IF_ERROR(CheckIdFree(backend, wanted));
      *reply = PreviewOf(wanted);
      return 0;
    }
    ASSIGN_OR_RETURN(const auto made, backend.scheduler.CreateJob(backend.Now(), wanted));
    Write(made.value, Detail::kFull, *reply);
    return made.ticket;
  });
}

grpc::ServerUnaryReactor* JobService::GetJob(grpc::CallbackServerContext* context,
                                             const v1::GetJobRequest* request, v1::Job* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const base::JobId job, wire::ParseJobName("name", request->name()));
    ASSIGN_OR_RETURN(const auto view, backend.scheduler.GetJob(backend.Now(), job));
    Write(view, Detail::kFull, *reply);
    return 0;
  });
}

grpc::ServerUnaryReactor* JobService::ListJobs(grpc::CallbackServerContext* context,
                                               const v1::ListJobsRequest* request,
                                               v1::ListJobsResponse* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    std::string scope;
    ASSIGN_OR_RETURN(const auto list, FromProto(*request, scope));
    const auto page = backend.scheduler.ListJobs(backend.Now(), list);
    const Detail detail =
        request->view() == v1::ListJobsRequest::BASIC ? Detail::kBasic : Detail::kFull;
    int64_t next_before = page.next_before;
    size_t bytes = 0;
    for (size_t i = 0; i < page.jobs.size(); ++i) {
      auto& job = *reply->add_jobs();
      Write(page.jobs[i], detail, job);
      bytes += job.ByteSizeLong() + 8;
      if (bytes > kPageBytesMax && i + 1 < page.jobs.size()) {
        next_before = page.jobs[i].record.sequence;
        break;
      }
    }
    if (next_before > 0) {
      reply->set_next_page_token(MakePageToken(scope, std::to_string(next_before)));
    }
    return 0;
  });
}

grpc::ServerUnaryReactor* JobService::UpdateJob(grpc::CallbackServerContext* context,
                                                const v1::UpdateJobRequest*, v1::Job*) {
  return Handle(gate_, context, [](Backend&) -> absl::StatusOr<store::Ticket> {
    return base::WithReason(
        absl::UnimplementedError("UpdateJob is reserved: this release does not change jobs"),
        {"NOT_IMPLEMENTED", {}});
  });
}

grpc::ServerUnaryReactor* JobService::CancelJob(grpc::CallbackServerContext* context,
                                                const v1::CancelJobRequest* request,
                                                v1::Job* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const base::JobId job, wire::ParseJobName("name", request->name()));
    ASSIGN_OR_RETURN(const auto view,
                     backend.scheduler.CancelJob(backend.Now(), job, request->etag()));
    Write(view.value, Detail::kFull, *reply);
    return view.ticket;
  });
}

grpc::ServerUnaryReactor* JobService::DeleteJob(grpc::CallbackServerContext* context,
                                                const v1::DeleteJobRequest* request,
                                                google::protobuf::Empty*) {
  const auto disk = [](Backend& backend) -> WorkPool& { return backend.disk; };
  return HandleOnPool(
      gate_, context, "DeleteJob", disk, [request](Backend& backend, Answer answer) {
        ASSIGN_OR_RETURN(const base::JobId job, wire::ParseJobName("name", request->name()));
        // Listed before the job is gone: its id may be given anew the moment it is.
        ASSIGN_OR_RETURN(auto checkpoints, ListStoredCheckpoints(backend.blobs, job));
        ASSIGN_OR_RETURN(const auto deleted,
                         backend.scheduler.DeleteJob(backend.Now(), job, request->etag()));
        RemoveBlobsWhenDurable(backend, deleted.ticket, job, std::move(checkpoints),
                               [answer] { answer.Now(); });
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* JobService::ListMetrics(grpc::CallbackServerContext* context,
                                                  const v1::ListMetricsRequest* request,
                                                  v1::ListMetricsResponse* reply) {
  const auto history = [](Backend& backend) -> WorkPool& { return backend.history; };
  return HandleOnPool(gate_, context, "ListMetrics", history,
                      [request, reply](Backend& backend, Answer answer) -> absl::Status {
                        RETURN_IF_ERROR(FillMetrics(backend, *request, *reply));
                        answer.Now();
                        return absl::OkStatus();
                      });
}

grpc::ServerWriteReactor<v1::Job>* JobService::WatchJob(grpc::CallbackServerContext*,
                                                        const v1::WatchJobRequest* request) {
  return StartWatch(gate_, *request);
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* JobService::StreamMetrics(
    grpc::CallbackServerContext*, const v1::StreamMetricsRequest* request) {
  return StartMetrics(gate_, *request);
}

grpc::ServerWriteReactor<v1::StreamLogsResponse>* JobService::StreamLogs(
    grpc::CallbackServerContext*, const v1::StreamLogsRequest* request) {
  return StartLogs(gate_, *request);
}

}  // namespace bsnn::api
