/// The coordinator's services in this process: over a memory store, a folder of blobs and a clock
/// that stands still. Calls go through gRPC, in process or over a unix socket; workers are
/// scripted.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/fault.h"
#include "blob/file/file_blob_store.h"
#include "server/api/checkpoint_service.h"
#include "server/api/job_service.h"
#include "server/api/rpc_counter.h"
#include "server/api/server_service.h"
#include "server/api/upload_session.h"
#include "server/api/worker_service.h"
#include "server/store/memory/memory_job_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/keep_grpc.h"
#include "tests/worker/support/temp_folder.h"
#include "wire/status.h"

namespace bsnn::api {

inline base::JobId J(const std::string& id) { return *base::JobId::Make(id); }
inline base::CheckpointId C(const std::string& id) { return *base::CheckpointId::Make(id); }
inline base::WorkerId W(const std::string& id) { return *base::WorkerId::Make(id); }

inline std::string ReasonOf(const absl::Status& status) { return base::ReasonOf(status).reason; }
/// The wrong fields that an error names, in its order.
std::vector<std::string> FieldsOf(const absl::Status& status);

/// One unary call: Call(*jobs_, &v1::JobService::Stub::GetJob, request).
template <class Stub, class Request, class Reply>
absl::StatusOr<Reply> Call(Stub& stub,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Reply*),
                           const Request& request) {
  grpc::ClientContext context;
  Reply reply;
  const absl::Status status = wire::FromGrpc((stub.*method)(&context, request, &reply));
  if (!status.ok()) return status;
  return reply;
}

/// What a server stream gave until its end.
template <class Message>
struct Streamed {
  std::vector<Message> messages;
  absl::Status status;
};
template <class Message>
Streamed<Message> ReadToEnd(grpc::ClientReader<Message>& reader) {
  Streamed<Message> all;
  Message message;
  while (reader.Read(&message)) all.messages.push_back(message);
  all.status = wire::FromGrpc(reader.Finish());
  return all;
}

/// A file of a checkpoint to upload.
struct FileToUpload {
  std::string name;
  std::string bytes;
};

class ApiFixture : public testing::Test {
 protected:
  explicit ApiFixture(const ApiOptions& options = {});
  ~ApiFixture() override;

  /// Where clients reach the services.
  std::string address() const { return "unix:" + (folder_ / "socket").string(); }

  // Jobs.
  v1::CreateJobRequest RequestFor(const std::string& id);
  v1::Job Create(const std::string& id);
  v1::Job Get(const std::string& id);

  // A worker "w" with one slot, which does what the test says.
  void StartAttempt(const std::string& job);  ///< creates the job and places it: attempt 1
  using Kind = decltype(spec::Event::kind);
  /// The live attempt reports these.
  void Say(const std::string& job, std::vector<Kind> kinds);
  static spec::MetricPoint Point(const std::string& name, int64_t step, double value) {
    return {name, "all", "", -1, step, 1, value};
  }
  /// Says that the live attempt failed for good.
  void Fail(const std::string& job);

  // Checkpoints of attempt 1.
  static artifact::Manifest ManifestOf(int64_t step, const std::vector<FileToUpload>& files);
  static v1::UploadCheckpointRequest::Begin BeginOf(const std::string& job,
                                                    const artifact::Manifest& manifest);
  static v1::UploadCheckpointRequest::FileChunk ChunkOf(const std::string& file, int64_t offset,
                                                        const std::string& data);
  /// Uploads and publishes; the record as the catalogue has it.
  store::CheckpointRecord Publish(const std::string& job, int64_t step,
                                  const std::vector<FileToUpload>& files);
  /// Where a published file lies.
  std::filesystem::path PathOf(const std::string& job, const std::string& checkpoint,
                               const std::string& file) const {
    return folder_ / "blobs" / "published" / job / checkpoint / file;
  }
  /// Returns when the disk pool has done all that was queued before.
  void WaitForDisk();

  test::TempFolder folder_;
  test::FakeClock clock_;
  store::MemoryJobStore store_;
  std::unique_ptr<blob::FileBlobStore> blobs_;
  ChangeHub hub_{store_};
  telemetry::Telemetry telemetry_{
      {.series_per_job_max = 2000,
       .classify = [](const telemetry::SeriesKey&) { return telemetry::Shown::kPooled; }}};
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  ApiStats stats_;
  WorkPool disk_{"disk", 1, clock_};
  WorkPool history_{"history", 1, clock_};
  std::unique_ptr<Backend> backend_;
  Gate gate_;
  RpcCounter counter_;
  JobService job_service_{gate_};
  CheckpointService checkpoint_service_{gate_};
  WorkerService worker_service_{gate_, {.lease = absl::Seconds(15)}};
  ServerService server_service_{{"0.0.0-test", clock_.Now(), /*streams_max=*/7}};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::CheckpointService::Stub> checkpoints_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;

 private:
  uint64_t bits_ = 1;
};

}  // namespace bsnn::api
