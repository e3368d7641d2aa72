/// DownloadCheckpoint: one file of a checkpoint in chunks of at most 1 MiB, from an offset.
///
/// A read of the whole file is hashed on its way; where the SHA-256 is not the catalogue's, the
/// last chunk is withheld and the call ends with DATA_LOSS, so that nobody holds a complete file
/// that is not the right one. A read from the middle is checked by its reader, who has the rest.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "bsnn/v1/checkpoint.pb.h"
#include "server/api/call.h"

namespace bsnn::api {

grpc::ServerWriteReactor<v1::DownloadCheckpointResponse>* StartDownload(
    Gate& gate, const v1::DownloadCheckpointRequest& request);

}  // namespace bsnn::api
