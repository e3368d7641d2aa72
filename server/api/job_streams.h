/// The streams that follow a job: its state, its metrics, its log.
///
/// Each ends when the job has ended and everything of it has been sent, with NOT_FOUND when the job
/// is deleted, and with UNAVAILABLE when the coordinator stops.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "bsnn/v1/job.pb.h"
#include "server/api/call.h"

namespace bsnn::api {

grpc::ServerWriteReactor<v1::Job>* StartWatch(Gate& gate, const v1::WatchJobRequest& request);
grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StartMetrics(
    Gate& gate, const v1::StreamMetricsRequest& request);
grpc::ServerWriteReactor<v1::StreamLogsResponse>* StartLogs(Gate& gate,
                                                            const v1::StreamLogsRequest& request);

}  // namespace bsnn::api
