#include "server/api/worker_service.h"

#include "base/limits.h"
#include "base/status.h"
#include "server/api/call.h"
#include "server/api/page_token.h"
#include "server/api/request_check.h"
#include "server/api/worker_messages.h"
#include "wire/event.h"
#include "wire/names.h"

namespace bsnn::api {
namespace {

constexpr size_t kPageBytesMax = 3 << 20;
constexpr char kListScope[] = "ListWorkers";

absl::Status FillWorkers(Backend& backend, const v1::ListWorkersRequest& request,
                         v1::ListWorkersResponse& reply) {
  RequestCheck check;
  const int limit =
      PageSize(check, request.page_size(), base::kPageSizeDefault, base::kPageSizeMax);
  if (!check.ok()) return check.status();
  ASSIGN_OR_RETURN(const std::string place,
                   ReadPageToken("page_token", kListScope, request.page_token()));
  base::WorkerId after;
  if (!place.empty()) {
    ASSIGN_OR_RETURN(after, base::WorkerId::Make(place));
  }
  // One more than asked tells whether there is a next page.
  const auto workers = backend.scheduler.ListWorkers(backend.Now(), after, limit + 1);
  size_t bytes = 0;
  for (const auto& worker : workers) {
    if (reply.workers_size() == limit || bytes > kPageBytesMax) {
      const std::string& last =
          workers[static_cast<size_t>(reply.workers_size() - 1)].record.id.value();
      reply.set_next_page_token(MakePageToken(kListScope, last));
      break;
    }
    auto& message = *reply.add_workers();
    message = ToProto(worker);
    bytes += message.ByteSizeLong() + 8;
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* WorkerService::RegisterWorker(grpc::CallbackServerContext* context,
                                                        const v1::RegisterWorkerRequest* request,
                                                        v1::RegisterWorkerResponse* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const auto worker, FromProto(*request));
    ASSIGN_OR_RETURN(const auto view, backend.scheduler.RegisterWorker(backend.Now(), worker));
    *reply->mutable_worker() = ToProto(view.value);
    *reply->mutable_lease_duration() = wire::ToProtoDuration(options_.lease);
    return view.ticket;
  });
}

grpc::ServerUnaryReactor* WorkerService::Synchronize(grpc::CallbackServerContext* context,
                                                     const v1::SynchronizeRequest* request,
                                                     v1::SynchronizeResponse* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const auto synchronize, FromProto(*request));
    ASSIGN_OR_RETURN(const auto orders, backend.scheduler.Synchronize(backend.Now(), synchronize));
    *reply = ToProto(orders.value);
    return orders.ticket;
  });
}

grpc::ServerUnaryReactor* WorkerService::PublishEvents(grpc::CallbackServerContext* context,
                                                       const v1::PublishEventsRequest* request,
                                                       v1::PublishEventsResponse* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const auto batch, FromProto(*request));
    ASSIGN_OR_RETURN(const auto taken, backend.scheduler.AcceptEvents(backend.Now(), batch));
    reply->set_acknowledged_sequence(taken.value);
    return taken.ticket;
  });
}

grpc::ServerUnaryReactor* WorkerService::GetWorker(grpc::CallbackServerContext* context,
                                                   const v1::GetWorkerRequest* request,
                                                   v1::Worker* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const auto worker, wire::ParseWorkerName("name", request->name()));
    ASSIGN_OR_RETURN(const auto view, backend.scheduler.GetWorker(backend.Now(), worker));
    *reply = ToProto(view);
    return 0;
  });
}

grpc::ServerUnaryReactor* WorkerService::ListWorkers(grpc::CallbackServerContext* context,
                                                     const v1::ListWorkersRequest* request,
                                                     v1::ListWorkersResponse* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    RETURN_IF_ERROR(FillWorkers(backend, *request, *reply));
    return 0;
  });
}

}  // namespace bsnn::api
