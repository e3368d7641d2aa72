#include "worker/session/coordinator_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "base/logging.h"
#include "base/retry.h"
#include "base/status.h"
#include "wire/event.h"
#include "wire/names.h"
#include "wire/spec.h"
#include "wire/status.h"

namespace bsnn::session {
namespace {

v1::AttemptReport::Phase ToProto(agent::Phase phase) {
  switch (phase) {
    case agent::Phase::kPreparing:
      return v1::AttemptReport::PREPARING;
    case agent::Phase::kTraining:
      return v1::AttemptReport::TRAINING;
    case agent::Phase::kStopping:
      return v1::AttemptReport::STOPPING;
    case agent::Phase::kEnded:
      return v1::AttemptReport::ENDED;
  }
  return v1::AttemptReport::PHASE_UNSPECIFIED;
}

void ReadRun(const v1::AttemptOrder& message, agent::Order& order) {
  order.slot = message.slot();
  if (!message.has_spec()) {
    // Left out for an attempt that this worker has; nothing can be started from such an order.
    order.fault = "the order has no spec";
    return;
  }
  std::vector<base::FieldFault> faults;
  order.has_spec = message.has_spec();
  if (order.has_spec) order.spec = wire::FromProto(message.spec(), "spec.", faults);
  for (const std::string& name : message.checkpoints()) {
    const auto ref = wire::ParseCheckpointName("checkpoints", name);
    if (!ref.ok() || ref->job != order.key.job) {
      faults.push_back({"checkpoints", base::Shorten(name, 128), "a checkpoint of the job"});
      continue;
    }
    order.checkpoints.push_back(ref->checkpoint);
  }
  if (!faults.empty()) {
    order.fault = fmt::format("this worker cannot read the order: {}",
                              std::string(base::InvalidFields(faults).message()));
  }
}

absl::StatusOr<agent::Order> OrderFromProto(const v1::AttemptOrder& message) {
  agent::Order order;
  ASSIGN_OR_RETURN(order.key.job, wire::ParseJobName("orders.job", message.job()));
  order.key.epoch = message.epoch();
  if (message.epoch() < 1) {
    return base::InvalidFields({{"orders.epoch", std::to_string(message.epoch()), "at least 1"}});
  }
  switch (message.action()) {
    case v1::AttemptOrder::RUN:
      ReadRun(message, order);
      return order;
    case v1::AttemptOrder::STOP:
      order.action = agent::Action::kStop;
      order.grace = std::max(wire::FromProtoDuration(message.grace()), absl::ZeroDuration());
      return order;
    default:
      return base::InvalidFields(
          {{"orders.action", std::to_string(message.action()), "RUN, STOP"}});
  }
}

}  // namespace

agent::Orders OrdersFromProto(const v1::SynchronizeResponse& response) {
  agent::Orders reply;
  for (const v1::AttemptOrder& message : response.orders()) {
    auto order = OrderFromProto(message);
    if (order.ok()) {
      reply.orders.push_back(*std::move(order));
      continue;
    }
    base::LogError(
        fmt::format("event=order_unreadable error=\"{}\"", std::string(order.status().message())));
    auto job = wire::ParseJobName("orders.job", message.job());
    reply.names_all &= job.ok();
    if (job.ok()) reply.unreadable.push_back({*std::move(job), message.epoch()});
  }
  return reply;
}

Failure FailureOf(const absl::Status& status) {
  const std::string reason = base::ReasonOf(status).reason;
  if (reason == "ATTEMPT_FENCED" || reason == "JOB_NOT_FOUND") return Failure::kFenced;
  if (reason == "WORKER_UNKNOWN" || base::IsRetryable(status)) return Failure::kRetry;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kResourceExhausted:
      return Failure::kRefused;
    default:
      return Failure::kRetry;
  }
}

CoordinatorClient::CoordinatorClient(const std::shared_ptr<grpc::Channel>& channel,
                                     Identity identity, absl::Duration deadline)
    : identity_(std::move(identity)),
      deadline_(deadline),
      stub_(v1::WorkerService::NewStub(channel)) {}

absl::StatusOr<absl::Duration> CoordinatorClient::Register(CallGroup& calls) {
  v1::RegisterWorkerRequest request;
  request.set_worker_id(identity_.id.value());
  request.set_incarnation(identity_.incarnation);
  request.set_version(identity_.version);
  request.set_hostname(identity_.hostname);
  request.set_spec_version(spec::kSpecVersion);
  request.set_replaces_incarnation(identity_.replaces_incarnation);
  for (const agent::Slot& slot : identity_.slots) {
    v1::Slot& message = *request.add_slots();
    message.set_index(slot.index);
    message.set_device(slot.device);
    message.set_description(slot.description);
    message.set_memory_bytes(slot.memory_bytes);
  }
  v1::RegisterWorkerResponse response;
  CallGroup::Scope scope(calls, deadline_);
  RETURN_IF_ERROR(wire::FromGrpc(stub_->RegisterWorker(&scope.context(), request, &response)));
  return wire::FromProtoDuration(response.lease_duration());
}

absl::StatusOr<Synchronized> CoordinatorClient::Synchronize(
    const std::vector<agent::Report>& reports, bool draining, CallGroup& calls) {
  v1::SynchronizeRequest request;
  request.set_worker(wire::WorkerName(identity_.id));
  request.set_incarnation(identity_.incarnation);
  request.set_draining(draining);
  request.set_number(++synchronizations_);
  for (const agent::Report& report : reports) {
    v1::AttemptReport& message = *request.add_attempts();
    message.set_job(wire::JobName(report.key.job));
    message.set_epoch(report.key.epoch);
    message.set_phase(ToProto(report.phase));
    message.set_events_pending(report.events_pending);
    message.set_upload_bytes_left(report.upload_bytes_left);
  }
  v1::SynchronizeResponse response;
  CallGroup::Scope scope(calls, deadline_);
  RETURN_IF_ERROR(wire::FromGrpc(stub_->Synchronize(&scope.context(), request, &response)));
  return Synchronized{.orders = OrdersFromProto(response),
                      .next_call = std::clamp(wire::FromProtoDuration(response.next_call()),
                                              absl::Milliseconds(10), absl::Minutes(1))};
}

absl::StatusOr<int64_t> CoordinatorClient::Publish(const agent::AttemptKey& key,
                                                   const std::vector<spec::Event>& events,
                                                   CallGroup& calls) {
  v1::PublishEventsRequest request;
  request.set_worker(wire::WorkerName(identity_.id));
  request.set_job(wire::JobName(key.job));
  request.set_epoch(key.epoch);
  for (const spec::Event& event : events) *request.add_events() = wire::ToProto(event);
  v1::PublishEventsResponse response;
  CallGroup::Scope scope(calls, deadline_);
  RETURN_IF_ERROR(wire::FromGrpc(stub_->PublishEvents(&scope.context(), request, &response)));
  return response.acknowledged_sequence();
}

}  // namespace bsnn::session
