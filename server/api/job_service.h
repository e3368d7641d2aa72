/// JobService of proto/bsnn/v1/job.proto over the scheduler and the store's histories.
#pragma once

#include "bsnn/v1/job.grpc.pb.h"
#include "server/api/arena_messages.h"
#include "server/api/call.h"

namespace bsnn::api {

/// Thread-safe. Borrows the gate.
class JobService final : public v1::JobService::CallbackService {
 public:
  explicit JobService(Gate& gate);

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* reply) override;
  grpc::ServerUnaryReactor* UpdateJob(grpc::CallbackServerContext* context,
                                      const v1::UpdateJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request, v1::Job* reply) override;
  grpc::ServerUnaryReactor* DeleteJob(grpc::CallbackServerContext* context,
                                      const v1::DeleteJobRequest* request,
                                      google::protobuf::Empty* reply) override;
  grpc::ServerUnaryReactor* ListMetrics(grpc::CallbackServerContext* context,
                                        const v1::ListMetricsRequest* request,
                                        v1::ListMetricsResponse* reply) override;
  grpc::ServerWriteReactor<v1::Job>* WatchJob(grpc::CallbackServerContext* context,
                                              const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StreamMetrics(
      grpc::CallbackServerContext* context, const v1::StreamMetricsRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamLogsResponse>* StreamLogs(
      grpc::CallbackServerContext* context, const v1::StreamLogsRequest* request) override;

 private:
  Gate& gate_;
  ArenaMessages<v1::CreateJobRequest, v1::Job> create_messages_;
  ArenaMessages<v1::GetJobRequest, v1::Job> get_messages_;
  ArenaMessages<v1::ListJobsRequest, v1::ListJobsResponse> list_messages_;
  ArenaMessages<v1::ListMetricsRequest, v1::ListMetricsResponse> metrics_messages_;
};

}  // namespace bsnn::api
