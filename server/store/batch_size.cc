#include "server/store/batch_size.h"

namespace bsnn::store {

int64_t BytesOf(const Batch& batch) {
  constexpr int64_t kRecord = 1024;  // a job's status with its texts, an attempt, a checkpoint
  constexpr int64_t kPoint = sizeof(spec::MetricPoint);
  int64_t bytes = 0;
  for (const Mutation& mutation : batch) {
    bytes += kRecord;
    if (const auto* metrics = std::get_if<AppendMetrics>(&mutation)) {
      bytes += kPoint * static_cast<int64_t>(metrics->points.size());
    }
    if (const auto* logs = std::get_if<AppendLogs>(&mutation)) {
      for (const LogRecord& line : logs->lines) {
        bytes += static_cast<int64_t>(sizeof(line) + line.message.size());
      }
    }
  }
  return bytes;
}

}  // namespace bsnn::store
