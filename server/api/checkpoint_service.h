/// CheckpointService of proto/bsnn/v1/checkpoint.proto over the catalogue and the blob store.
#pragma once

#include "bsnn/v1/checkpoint.grpc.pb.h"
#include "server/api/call.h"

namespace bsnn::api {

/// Thread-safe. Borrows the gate.
class CheckpointService final : public v1::CheckpointService::CallbackService {
 public:
  explicit CheckpointService(Gate& gate) : gate_(gate) {}

  grpc::ServerUnaryReactor* GetCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::GetCheckpointRequest* request,
                                          v1::Checkpoint* reply) override;
  grpc::ServerUnaryReactor* ListCheckpoints(grpc::CallbackServerContext* context,
                                            const v1::ListCheckpointsRequest* request,
                                            v1::ListCheckpointsResponse* reply) override;
  grpc::ServerUnaryReactor* DeleteCheckpoint(grpc::CallbackServerContext* context,
                                             const v1::DeleteCheckpointRequest* request,
                                             google::protobuf::Empty* reply) override;
  grpc::ServerUnaryReactor* PinCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::PinCheckpointRequest* request,
                                          v1::Checkpoint* reply) override;
  grpc::ServerWriteReactor<v1::DownloadCheckpointResponse>* DownloadCheckpoint(
      grpc::CallbackServerContext* context, const v1::DownloadCheckpointRequest* request) override;
  grpc::ServerBidiReactor<v1::UploadCheckpointRequest, v1::UploadCheckpointResponse>*
  UploadCheckpoint(grpc::CallbackServerContext* context) override;

 private:
  Gate& gate_;
};

}  // namespace bsnn::api
