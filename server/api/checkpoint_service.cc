#include "server/api/checkpoint_service.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "server/api/blob_files.h"
#include "server/api/call.h"
#include "server/api/checkpoint_messages.h"
#include "server/api/download.h"
#include "server/api/page_token.h"
#include "server/api/request_check.h"
#include "server/api/upload.h"
#include "wire/names.h"

namespace bsnn::api {
namespace {

using scheduler::CheckpointCursor;

std::string PlaceOf(const CheckpointCursor& cursor) {
  return fmt::format("{}:{}", cursor.step, cursor.attempt_epoch);
}

/// Inverse of PlaceOf; the token's checksum has been checked.
std::optional<CheckpointCursor> CursorOf(const std::string& place) {
  const std::vector<std::string> parts = absl::StrSplit(place, ':');
  CheckpointCursor cursor;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &cursor.step) ||
      !absl::SimpleAtoi(parts[1], &cursor.attempt_epoch)) {
    return std::nullopt;
  }
  return cursor;
}

absl::Status FillCheckpoints(Backend& backend, const v1::ListCheckpointsRequest& request,
                             v1::ListCheckpointsResponse& reply) {
  RequestCheck check;
  const base::JobId job = check.Take(wire::ParseJobName("parent", request.parent()));
  const int limit =
      PageSize(check, request.page_size(), base::kPageSizeDefault, base::kPageSizeMax);
  if (!check.ok()) return check.status();
  const std::string scope = "ListCheckpoints " + job.value();
  ASSIGN_OR_RETURN(const std::string place,
                   ReadPageToken("page_token", scope, request.page_token()));
  ASSIGN_OR_RETURN(const auto page, backend.scheduler.ListCheckpoints(job, CursorOf(place), limit));
  for (const auto& record : page.checkpoints) *reply.add_checkpoints() = ToProto(record);
  if (page.next) reply.set_next_page_token(MakePageToken(scope, PlaceOf(*page.next)));
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* CheckpointService::GetCheckpoint(grpc::CallbackServerContext* context,
                                                           const v1::GetCheckpointRequest* request,
                                                           v1::Checkpoint* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const auto name, wire::ParseCheckpointName("name", request->name()));
    ASSIGN_OR_RETURN(const auto record, backend.scheduler.GetCheckpoint(name.job, name.checkpoint));
    *reply = ToProto(record);
    return 0;
  });
}

grpc::ServerUnaryReactor* CheckpointService::ListCheckpoints(
    grpc::CallbackServerContext* context, const v1::ListCheckpointsRequest* request,
    v1::ListCheckpointsResponse* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    RETURN_IF_ERROR(FillCheckpoints(backend, *request, *reply));
    return 0;
  });
}

grpc::ServerUnaryReactor* CheckpointService::DeleteCheckpoint(
    grpc::CallbackServerContext* context, const v1::DeleteCheckpointRequest* request,
    google::protobuf::Empty*) {
  const auto disk = [](Backend& backend) -> WorkPool& { return backend.disk; };
  return HandleOnPool(
      gate_, context, "DeleteCheckpoint", disk,
      [request](Backend& backend, Answer answer) -> absl::Status {
        ASSIGN_OR_RETURN(const auto name, wire::ParseCheckpointName("name", request->name()));
        ASSIGN_OR_RETURN(const auto deleted, backend.scheduler.DeleteCheckpoint(
                                                 backend.Now(), name.job, name.checkpoint));
        RemoveBlobsWhenDurable(backend, deleted.ticket, name.job, {name.checkpoint},
                               [answer] { answer.Now(); });
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* CheckpointService::PinCheckpoint(grpc::CallbackServerContext* context,
                                                           const v1::PinCheckpointRequest* request,
                                                           v1::Checkpoint* reply) {
  return Handle(gate_, context, [&](Backend& backend) -> absl::StatusOr<store::Ticket> {
    ASSIGN_OR_RETURN(const auto name, wire::ParseCheckpointName("name", request->name()));
    ASSIGN_OR_RETURN(const auto record,
                     backend.scheduler.PinCheckpoint(backend.Now(), name.job, name.checkpoint,
                                                     request->pinned()));
    *reply = ToProto(record.value);
    return record.ticket;
  });
}

grpc::ServerWriteReactor<v1::DownloadCheckpointResponse>* CheckpointService::DownloadCheckpoint(
    grpc::CallbackServerContext*, const v1::DownloadCheckpointRequest* request) {
  return StartDownload(gate_, *request);
}

grpc::ServerBidiReactor<v1::UploadCheckpointRequest, v1::UploadCheckpointResponse>*
CheckpointService::UploadCheckpoint(grpc::CallbackServerContext*) {
  return StartUpload(gate_);
}

}  // namespace bsnn::api
