#include "server/api/server_service.h"

#include "base/limits.h"
#include "spec/job_spec.h"
#include "wire/event.h"

namespace bsnn::api {

ServerService::ServerService(const Options& options) {
  info_.set_version(options.version);
  *info_.mutable_start_time() = wire::ToProtoTime(options.start_time);
  info_.set_spec_version(spec::kSpecVersion);
  auto& limits = *info_.mutable_limits();
  limits.set_jobs(base::kJobsMax);
  limits.set_workers(base::kWorkersMax);
  limits.set_slots_per_worker(base::kSlotsPerWorkerMax);
  limits.set_checkpoints_per_job(base::kCheckpointsPerJobMax);
  limits.set_checkpoint_files(base::kCheckpointFilesMax);
  limits.set_checkpoint_file_bytes(int64_t{base::kCheckpointFileBytesMax});
  limits.set_metric_series_per_job(base::kSeriesPerJobMax);
  limits.set_metric_points_per_job(base::kMetricPointsPerJobMax);
  limits.set_log_lines_per_job(base::kLogLinesPerJobMax);
  limits.set_message_bytes(base::kMessageBytesMax);
  limits.set_chunk_bytes(base::kChunkBytes);
  limits.set_events_per_batch(base::kEventsPerBatchMax);
  limits.set_page_size(base::kPageSizeMax);
  limits.set_streams(options.streams_max);
}

grpc::ServerUnaryReactor* ServerService::GetServerInfo(grpc::CallbackServerContext* context,
                                                       const v1::GetServerInfoRequest*,
                                                       v1::ServerInfo* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  *reply = info_;
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace bsnn::api
