/// Every bound of the product in one place: what may be asked, held, sent and read.
/// Exceeding one is a clear error that names it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bsnn::base {

// Messages.
inline constexpr int kMessageBytesMax = 4 << 20;               ///< one gRPC message, either way
inline constexpr int kChunkBytes = 1 << 20;                    ///< data of one checkpoint chunk
inline constexpr size_t kRpcMemoryBytesMax = size_t{2} << 30;  ///< of all calls under way
inline constexpr int kEventsPerBatchMax = 1000;                ///< events of one PublishEvents call
inline constexpr int kConcurrentStreamsMax = 1000;             ///< HTTP/2 streams of one connection
inline constexpr int kErrorTextBytesMax = 1024;                ///< an error's message as it is kept
inline constexpr int kWireErrorTextBytesMax = 512;  ///< the same on the wire: trailers are small

// Files.
inline constexpr uint64_t kSpecBytesMax = 1 << 20;      ///< a job file
inline constexpr uint64_t kManifestBytesMax = 1 << 20;  ///< a checkpoint's manifest
inline constexpr uint64_t kSafetensorsHeaderBytesMax =
    100'000'000;  ///< as the format's reference reader
inline constexpr uint64_t kCheckpointFileBytesMax = uint64_t{64} << 30;
inline constexpr int kCheckpointFilesMax = 16;
inline constexpr int64_t kStoreBacklogBytesMax = int64_t{64} << 20;  ///< waiting to be written
inline constexpr uint64_t kEventLineBytesMax = 64 << 10;             ///< one JSON line of a trainer

// Texts.
inline constexpr int kDisplayNameBytesMax = 128;
inline constexpr int kLabelsMax = 32;
inline constexpr int kMetricTextBytesMax = 64;  ///< a metric's name or layer
inline constexpr int kLogMessageBytesMax = 8 << 10;

// Counts.
inline constexpr int kJobsMax = 1'000'000;  ///< jobs the coordinator keeps
inline constexpr int kWorkersMax = 10'000;
inline constexpr int kSlotsPerWorkerMax = 64;
inline constexpr int kAttemptsShownMax = 20;
inline constexpr int kSeriesPerJobMax = 2'000;       ///< metric series of one job in the store
inline constexpr int kJobSeriesExposedMax = 10'000;  ///< job-level series on /metrics
inline constexpr int kLogLinesPerJobMax = 100'000;   ///< older ones are dropped, and counted
inline constexpr int64_t kMetricPointsPerJobMax =
    5'000'000;                                       ///< later ones are dropped, and counted
inline constexpr int kCheckpointsPerJobMax = 1'000;  ///< pinned ones included
inline constexpr int kCheckpointsInOrderMax = 5;     ///< offered to an attempt that resumes
inline constexpr int kRetiredIdsMax = 1'000'000;     ///< ids of deleted jobs that are remembered
inline constexpr int kPageSizeDefault = 50;
inline constexpr int kPageSizeMax = 1000;
inline constexpr int kMetricPageSizeDefault = 1000;
inline constexpr int kMetricPageSizeMax = 10'000;

}  // namespace bsnn::base
