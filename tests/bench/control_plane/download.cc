#include "tests/bench/control_plane/download.h"

#include <absl/time/clock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>

#include "artifact/digest.h"
#include "artifact/manifest.h"
#include "base/check.h"
#include "base/limits.h"
#include "bsnn/v1/checkpoint.grpc.pb.h"
#include "tests/bench/control_plane/coordinator.h"
#include "tests/bench/control_plane/figures.h"
#include "tests/bench/control_plane/running_jobs.h"
#include "wire/channel.h"
#include "wire/crc32c.h"

namespace bsnn::bench {
namespace {

constexpr char kFile[] = "weights.safetensors";

class RawStream final : public v1::CheckpointService::Service {
 public:
  explicit RawStream(int64_t size_bytes) : size_bytes_(size_bytes) {}

  grpc::Status DownloadCheckpoint(
      grpc::ServerContext*, const v1::DownloadCheckpointRequest*,
      grpc::ServerWriter<v1::DownloadCheckpointResponse>* writer) override {
    v1::DownloadCheckpointResponse response;
    response.mutable_chunk()->set_data(std::string(base::kChunkBytes, 'x'));
    for (int64_t sent = 0; sent < size_bytes_; sent += base::kChunkBytes) {
      response.mutable_chunk()->set_offset(sent);
      if (!writer->Write(response)) break;
    }
    return grpc::Status::OK;
  }

 private:
  const int64_t size_bytes_;
};

void Upload(const std::shared_ptr<grpc::Channel>& channel, const RunningJob& job,
            const std::string& bytes, std::string& name) {
  artifact::Manifest manifest;
  manifest.step = 1;
  manifest.epoch = 1;
  manifest.accuracy_ratio = 0.5;
  manifest.spec = "{}";
  manifest.files = {{kFile, bytes.size(), artifact::Sha256Hex(bytes)}};
  const auto stub = v1::CheckpointService::NewStub(channel);
  grpc::ClientContext context;
  const auto stream = stub->UploadCheckpoint(&context);
  v1::UploadCheckpointRequest begin;
  begin.mutable_begin()->set_worker(job.worker);
  begin.mutable_begin()->set_job(job.name);
  begin.mutable_begin()->set_attempt_epoch(job.epoch);
  begin.mutable_begin()->set_manifest(artifact::ToText(manifest));
  stream->Write(begin);
  v1::UploadCheckpointResponse answer;
  stream->Read(&answer);
  v1::UploadCheckpointRequest request;
  auto& chunk = *request.mutable_file_chunk()->mutable_chunk();
  request.mutable_file_chunk()->set_file(kFile);
  for (size_t offset = 0; offset < bytes.size(); offset += base::kChunkBytes) {
    chunk.set_offset(static_cast<int64_t>(offset));
    chunk.set_data(bytes.substr(offset, base::kChunkBytes));
    chunk.set_crc32c(wire::Crc32c(chunk.data()));
    if (!stream->Write(request)) break;
  }
  v1::UploadCheckpointRequest finish;
  finish.set_finish(true);
  stream->WriteLast(finish, {});
  while (stream->Read(&answer)) {
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) fmt::print(stderr, "UploadCheckpoint: {}\n", status.error_message());
  BSNN_CHECK(status.ok());
  name = answer.published().name();
}

/// Bytes per second of one whole download, its bytes thrown away.
double Download(v1::CheckpointService::Stub& stub, const std::string& name) {
  v1::DownloadCheckpointRequest request;
  request.set_name(name);
  request.set_file(kFile);
  grpc::ClientContext context;
  const absl::Time begin = absl::Now();
  const auto reader = stub.DownloadCheckpoint(&context, request);
  v1::DownloadCheckpointResponse response;
  int64_t bytes = 0;
  while (reader->Read(&response)) bytes += std::ssize(response.chunk().data());
  const grpc::Status status = reader->Finish();
  if (!status.ok()) fmt::print(stderr, "DownloadCheckpoint: {}\n", status.error_message());
  BSNN_CHECK(status.ok());
  return static_cast<double>(bytes) / absl::ToDoubleSeconds(absl::Now() - begin);
}

}  // namespace

void ServeRawStream(int64_t size_bytes) {
  RawStream service(size_bytes);
  grpc::ServerBuilder builder;
  wire::SetServerLimits(builder);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  fmt::print("127.0.0.1:{}\n", port);
  std::fflush(stdout);
  server->Wait();
  std::abort();
}

void MeasureDownload(const Setting& setting, Report& report) {
  const int64_t size_bytes = int64_t{setting.quick ? 32 : 256} << 20;
  std::filesystem::create_directories(setting.work / "download");
  const Coordinator coordinator(setting.coordinator, setting.work / "download" / "data");
  const auto channel = coordinator.NewChannel();
  std::string name;
  std::string bytes(static_cast<size_t>(size_bytes), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 13);
  Upload(channel, StartJobs(channel, 1).front(), bytes, name);
  bytes = {};

  // A process of its own, as the coordinator is; it ends with the pipe's reader.
  FILE* const raw = popen(
      fmt::format("exec /proc/{}/exe --serve-raw-stream {}", getpid(), size_bytes).c_str(), "r");
  BSNN_CHECK(raw != nullptr);
  std::array<char, 64> line{};
  BSNN_CHECK(fgets(line.data(), line.size(), raw) != nullptr);
  const std::string address(line.data(), strcspn(line.data(), "\n"));
  const auto stub = v1::CheckpointService::NewStub(channel);
  const auto raw_stub = v1::CheckpointService::NewStub(wire::MakeChannel(address));
  std::vector<double> ratios, rates;
  Download(*stub, name);
  Download(*raw_stub, name);
  for (int pair = 0; pair < (setting.quick ? 3 : 9); ++pair) {
    rates.push_back(Download(*stub, name));
    ratios.push_back(rates.back() / Download(*raw_stub, name));
  }
  std::sort(ratios.begin(), ratios.end());
  std::sort(rates.begin(), rates.end());
  report.AddAtLeast(
      "download / raw gRPC stream", ratios[ratios.size() / 2], 0.9, "",
      fmt::format("{:.0f} MB/s; {:.2f} to {:.2f} in {} pairs", rates[rates.size() / 2] / 1e6,
                  ratios.front(), ratios.back(), ratios.size()));
}

}  // namespace bsnn::bench
