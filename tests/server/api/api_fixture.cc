#include "tests/server/api/api_fixture.h"

#include <absl/synchronization/notification.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "artifact/digest.h"
#include "base/check.h"
#include "wire/channel.h"
#include "wire/crc32c.h"
#include "wire/names.h"

namespace bsnn::api {

std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  for (const auto& fault : base::FaultsOf(status)) fields.push_back(fault.field);
  return fields;
}

ApiFixture::ApiFixture(const ApiOptions& options) : gate_(options) {
  blobs_ = *blob::FileBlobStore::Make(folder_ / "blobs");
  scheduler_ =
      *scheduler::Scheduler::Make({}, store_, telemetry_, &hub_, [this] { return bits_++ * 7919; });
  scheduler_->Begin({clock_.Now(), clock_.Steady()});
  backend_ = std::make_unique<Backend>(
      Backend{*scheduler_, store_, store_, *blobs_, clock_, disk_, history_, hub_, stats_});
  gate_.Open(*backend_);
  grpc::ServerBuilder builder;
  wire::SetServerLimits(builder);
  builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
  builder.RegisterService(&job_service_);
  builder.RegisterService(&checkpoint_service_);
  builder.RegisterService(&worker_service_);
  builder.RegisterService(&server_service_);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
  creators.push_back(counter_.MakeFactory());
  builder.experimental().SetInterceptorCreators(std::move(creators));
  server_ = builder.BuildAndStart();
  BSNN_CHECK(server_ != nullptr);
  // Not InProcessChannel: there a write waits for the other side's read, unlike over any socket.
  channel_ = wire::MakeChannel(address());
  jobs_ = v1::JobService::NewStub(channel_);
  checkpoints_ = v1::CheckpointService::NewStub(channel_);
  workers_ = v1::WorkerService::NewStub(channel_);
}

ApiFixture::~ApiFixture() {
  hub_.Close();
  server_->Shutdown(gpr_time_0(GPR_CLOCK_MONOTONIC));
  server_->Wait();
  disk_.Close();
  history_.Close();
}

v1::CreateJobRequest ApiFixture::RequestFor(const std::string& id) {
  v1::CreateJobRequest request;
  request.set_job_id(id);
  request.mutable_job()->mutable_spec();
  return request;
}

v1::Job ApiFixture::Create(const std::string& id) {
  const auto job = Call(*jobs_, &v1::JobService::Stub::CreateJob, RequestFor(id));
  EXPECT_TRUE(job.ok()) << job.status();
  return job.value_or(v1::Job());
}

v1::Job ApiFixture::Get(const std::string& id) {
  v1::GetJobRequest request;
  request.set_name("jobs/" + id);
  const auto job = Call(*jobs_, &v1::JobService::Stub::GetJob, request);
  EXPECT_TRUE(job.ok()) << job.status();
  return job.value_or(v1::Job());
}

void ApiFixture::StartAttempt(const std::string& job) {
  Create(job);
  const scheduler::RegisterWorkerRequest worker{
      W("w"), "1", {{0, spec::Device::kCpu, "", 0}}, "0.1.0", "host"};
  ASSERT_TRUE(scheduler_->RegisterWorker(backend_->Now(), worker).ok());
  const auto reply = scheduler_->Synchronize(backend_->Now(), {W("w"), "1", {}, false});
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->value.orders.size(), 1u);
  ASSERT_EQ(reply->value.orders[0].job, J(job));
}

void ApiFixture::Say(const std::string& job, std::vector<Kind> kinds) {
  const auto view = scheduler_->GetJob(backend_->Now(), J(job));
  ASSERT_TRUE(view.ok()) << view.status();
  const store::AttemptRecord& attempt = view->attempts.back();
  scheduler::EventBatch batch{attempt.worker, J(job), attempt.epoch, {}};
  int64_t sequence = attempt.acknowledged_sequence;
  for (Kind& kind : kinds) batch.events.push_back({++sequence, clock_.Now(), std::move(kind)});
  const auto taken = scheduler_->AcceptEvents(backend_->Now(), batch);
  ASSERT_TRUE(taken.ok()) << taken.status();
}

void ApiFixture::Fail(const std::string& job) {
  Say(job, {spec::Finished{.outcome = spec::Outcome::kFailed,
                           .failure = spec::TrainerFailure::kUserError,
                           .message = "no such data"}});
}

artifact::Manifest ApiFixture::ManifestOf(int64_t step, const std::vector<FileToUpload>& files) {
  artifact::Manifest manifest{
      .step = step, .epoch = 1, .accuracy_ratio = 0.5, .spec = "{}", .files = {}};
  for (const auto& [name, bytes] : files) {
    manifest.files.push_back({name, bytes.size(), artifact::Sha256Hex(bytes)});
  }
  return manifest;
}

v1::UploadCheckpointRequest::Begin ApiFixture::BeginOf(const std::string& job,
                                                       const artifact::Manifest& manifest) {
  v1::UploadCheckpointRequest::Begin begin;
  begin.set_worker("workers/w");
  begin.set_job("jobs/" + job);
  begin.set_attempt_epoch(1);
  begin.set_manifest(artifact::ToText(manifest));
  return begin;
}

v1::UploadCheckpointRequest::FileChunk ApiFixture::ChunkOf(const std::string& file, int64_t offset,
                                                           const std::string& data) {
  v1::UploadCheckpointRequest::FileChunk file_chunk;
  file_chunk.set_file(file);
  file_chunk.mutable_chunk()->set_offset(offset);
  file_chunk.mutable_chunk()->set_data(data);
  file_chunk.mutable_chunk()->set_crc32c(wire::Crc32c(data));
  return file_chunk;
}

store::CheckpointRecord ApiFixture::Publish(const std::string& job, int64_t step,
                                            const std::vector<FileToUpload>& files) {
  constexpr size_t kChunk = 1 << 20;
  UploadSession session(*backend_);
  EXPECT_TRUE(session.Begin(BeginOf(job, ManifestOf(step, files))).ok());
  for (const auto& [name, bytes] : files) {
    for (size_t offset = 0; offset < bytes.size(); offset += kChunk) {
      const absl::Status status =
          session.Append(ChunkOf(name, static_cast<int64_t>(offset), bytes.substr(offset, kChunk)));
      EXPECT_TRUE(status.ok()) << status;
    }
  }
  const auto published = session.Finish();
  EXPECT_TRUE(published.ok()) << published.status();
  return published.ok() ? published->value.checkpoint : store::CheckpointRecord();
}

void ApiFixture::WaitForDisk() {
  absl::Notification done;
  ASSERT_TRUE(disk_.TrySubmit("test", [&done] { done.Notify(); }));
  done.WaitForNotification();
}

}  // namespace bsnn::api
