/// DownloadCheckpoint: one file of a checkpoint in chunks of at most 1 MiB, from an offset.
///
/// The first read of a whole file is hashed on its way; where the SHA-256 is not the catalogue's,
/// the last chunk is withheld and the call ends with DATA_LOSS, so that nobody holds a complete
/// file that is not the right one. From then on every whole block is compared with its sum
/// (block_sums.h) before it is sent. Nothing else is compared here: neither a part of a block, nor
/// a read from the middle of a file that was not read whole before. Their reader, who has the rest,
/// compares the SHA-256 of the file.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "bsnn/v1/checkpoint.pb.h"
#include "server/api/call.h"

namespace bsnn::api {

grpc::ServerWriteReactor<v1::DownloadCheckpointResponse>* StartDownload(
    Gate& gate, const v1::DownloadCheckpointRequest& request);

}  // namespace bsnn::api
