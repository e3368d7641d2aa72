#include "server/api/backend.h"

#include <fmt/format.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <utility>

#include "base/fault.h"
#include "base/status.h"

namespace bsnn::api {

absl::Status Gate::CheckOpen() const {
  if (backend_ != nullptr) return absl::OkStatus();
  return base::WithReason(absl::UnavailableError("the coordinator is starting; try again"),
                          {"STARTING", {}});
}

absl::Status Gate::CheckUnary(const grpc::ServerContextBase& context) const {
  RETURN_IF_ERROR(CheckOpen());
  if (!options_.require_deadline ||
      context.deadline() != std::chrono::system_clock::time_point::max()) {
    return absl::OkStatus();
  }
  return base::WithReason(
      absl::InvalidArgumentError("the call has no deadline; this server requires one"),
      {"DEADLINE_REQUIRED", {}});
}

absl::Status Gate::EnterStream() {
  RETURN_IF_ERROR(CheckOpen());
  if (++streams_ <= options_.streams_max) return absl::OkStatus();
  --streams_;
  return base::WithReason(
      absl::ResourceExhaustedError(
          fmt::format("{} streams are open, the most allowed (streams-max)", options_.streams_max)),
      {"LIMIT_EXCEEDED",
       {{"limit", "streams-max"}, {"value", std::to_string(options_.streams_max)}}});
}

void WhenTellable(Backend& backend, const absl::Status& error, std::function<void()> tell) {
  switch (error.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kOutOfRange:
      return backend.store.WhenDurable(backend.scheduler.LastTicket(), std::move(tell));
    default:
      return tell();
  }
}

absl::Status Busy() {
  return base::WithReason(absl::UnavailableError("too much work is waiting; try again"),
                          {"SERVER_BUSY", {}});
}

absl::Status Draining() {
  return base::WithReason(absl::UnavailableError("the coordinator is stopping; try again"),
                          {"SERVER_DRAINING", {}});
}

}  // namespace bsnn::api
