/// WorkerService of proto/bsnn/v1/worker.proto over the scheduler.
#pragma once

#include "bsnn/v1/worker.grpc.pb.h"
#include "server/api/call.h"

namespace bsnn::api {

/// Thread-safe. Borrows the gate.
class WorkerService final : public v1::WorkerService::CallbackService {
 public:
  struct Options {
    absl::Duration lease;  ///< told to workers that register
  };

  WorkerService(Gate& gate, const Options& options) : gate_(gate), options_(options) {}

  grpc::ServerUnaryReactor* RegisterWorker(grpc::CallbackServerContext* context,
                                           const v1::RegisterWorkerRequest* request,
                                           v1::RegisterWorkerResponse* reply) override;
  grpc::ServerUnaryReactor* Synchronize(grpc::CallbackServerContext* context,
                                        const v1::SynchronizeRequest* request,
                                        v1::SynchronizeResponse* reply) override;
  grpc::ServerUnaryReactor* PublishEvents(grpc::CallbackServerContext* context,
                                          const v1::PublishEventsRequest* request,
                                          v1::PublishEventsResponse* reply) override;
  grpc::ServerUnaryReactor* GetWorker(grpc::CallbackServerContext* context,
                                      const v1::GetWorkerRequest* request,
                                      v1::Worker* reply) override;
  grpc::ServerUnaryReactor* ListWorkers(grpc::CallbackServerContext* context,
                                        const v1::ListWorkersRequest* request,
                                        v1::ListWorkersResponse* reply) override;

 private:
  Gate& gate_;
  const Options options_;
};

}  // namespace bsnn::api
