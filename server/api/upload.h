/// UploadCheckpoint: reads begin, chunks and finish one at a time, each handled on the disk pool
/// before the next is read, so that memory is one message a stream.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "bsnn/v1/checkpoint.pb.h"
#include "server/api/call.h"

namespace bsnn::api {

grpc::ServerBidiReactor<v1::UploadCheckpointRequest, v1::UploadCheckpointResponse>* StartUpload(
    Gate& gate);

}  // namespace bsnn::api
