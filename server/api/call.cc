#include "server/api/call.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/fault.h"
#include "base/status.h"
#include "wire/status.h"

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
      absl::UnavailableError(
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

void Answer::WhenDurable(store::Ticket ticket) const {
  if (ticket == 0) return Now();
  const absl::Duration start = backend_->clock.Steady();
  backend_->store.WhenDurable(ticket, [backend = backend_, start, reactor = reactor_] {
    backend->stats.commits.Add(backend->clock.Steady() - start);
    reactor->Finish(grpc::Status::OK);
  });
}

void Answer::WithError(const absl::Status& error) const {
  WhenTellable(*backend_, error, [reactor = reactor_, error] { Refuse(reactor, error); });
}

void Refuse(grpc::ServerUnaryReactor* reactor, const absl::Status& error) {
  reactor->Finish(wire::ToGrpc(error));
}

absl::Status CallerGone() { return absl::CancelledError("the caller is gone"); }

absl::Status Busy() {
  return base::WithReason(absl::UnavailableError("too much work is waiting; try again"),
                          {"SERVER_BUSY", {}});
}

absl::Status Draining() {
  return base::WithReason(absl::UnavailableError("the coordinator is stopping; try again"),
                          {"SERVER_DRAINING", {}});
}

}  // namespace bsnn::api
