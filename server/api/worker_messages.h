/// Workers, orders and reports between their messages and the scheduler's values.
#pragma once

#include <absl/status/statusor.h>

#include "bsnn/v1/worker.pb.h"
#include "server/scheduler/types.h"

namespace bsnn::api {

v1::Worker ToProto(const scheduler::WorkerView& view);
v1::SynchronizeResponse ToProto(const scheduler::SynchronizeReply& reply);

/// Each names every wrong field (InvalidFields).
absl::StatusOr<scheduler::RegisterWorkerRequest> FromProto(
    const v1::RegisterWorkerRequest& request);
absl::StatusOr<scheduler::SynchronizeRequest> FromProto(const v1::SynchronizeRequest& request);
absl::StatusOr<scheduler::EventBatch> FromProto(const v1::PublishEventsRequest& request);

}  // namespace bsnn::api
