/// A gRPC server that streams a checkpoint's messages from memory: what a download is compared to.
#pragma once

#include <cstdint>

namespace bsnn::bench {

/// Serves CheckpointService.DownloadCheckpoint of `size_bytes` on a free port of loopback, prints
/// the address on a line, and never returns.
[[noreturn]] void ServeRawStream(int64_t size_bytes);

}  // namespace bsnn::bench
