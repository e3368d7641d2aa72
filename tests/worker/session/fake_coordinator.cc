#include "tests/worker/session/fake_coordinator.h"

#include <fmt/format.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "artifact/digest.h"
#include "artifact/manifest.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/status.h"
#include "spec/job_spec.h"
#include "wire/channel.h"
#include "wire/crc32c.h"
#include "wire/event.h"
#include "wire/names.h"
#include "wire/spec.h"
#include "wire/status.h"

namespace bsnn::test {
namespace {

absl::Status Unavailable(const char* what) { return absl::UnavailableError(what); }

absl::Status CheckChunk(const v1::Chunk& chunk, uint64_t have) {
  if (static_cast<uint64_t>(chunk.offset()) != have || chunk.data().size() > size_t{1} << 20 ||
      wire::Crc32c(chunk.data()) != chunk.crc32c()) {
    return absl::InvalidArgumentError("a chunk is wrong");
  }
  return absl::OkStatus();
}

}  // namespace

class FakeCoordinator::Workers final : public v1::WorkerService::Service {
 public:
  explicit Workers(FakeCoordinator& fake) : fake_(fake) {}

  grpc::Status RegisterWorker(grpc::ServerContext*, const v1::RegisterWorkerRequest* request,
                              v1::RegisterWorkerResponse* response) override {
    *response->mutable_lease_duration() = wire::ToProtoDuration(absl::Seconds(15));
    return wire::ToGrpc(fake_.Register(*request));
  }
  grpc::Status Synchronize(grpc::ServerContext*, const v1::SynchronizeRequest* request,
                           v1::SynchronizeResponse* response) override {
    return wire::ToGrpc(fake_.Synchronize(*request, *response));
  }
  grpc::Status PublishEvents(grpc::ServerContext*, const v1::PublishEventsRequest* request,
                             v1::PublishEventsResponse* response) override {
    const auto acknowledged = fake_.Publish(*request);
    if (acknowledged.ok()) response->set_acknowledged_sequence(*acknowledged);
    return wire::ToGrpc(acknowledged.status());
  }

 private:
  FakeCoordinator& fake_;
};

class FakeCoordinator::Checkpoints final : public v1::CheckpointService::Service {
 public:
  explicit Checkpoints(FakeCoordinator& fake) : fake_(fake) {}

  grpc::Status GetCheckpoint(grpc::ServerContext*, const v1::GetCheckpointRequest* request,
                             v1::Checkpoint* response) override {
    auto found = fake_.Get(request->name());
    if (found.ok()) *response = *std::move(found);
    return wire::ToGrpc(found.status());
  }
  grpc::Status UploadCheckpoint(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::UploadCheckpointResponse, v1::UploadCheckpointRequest>* stream)
      override {
    return wire::ToGrpc(fake_.Upload(*stream));
  }
  grpc::Status DownloadCheckpoint(
      grpc::ServerContext*, const v1::DownloadCheckpointRequest* request,
      grpc::ServerWriter<v1::DownloadCheckpointResponse>* writer) override {
    return wire::ToGrpc(fake_.Download(*request, *writer));
  }

 private:
  FakeCoordinator& fake_;
};

FakeCoordinator::FakeCoordinator(std::string address)
    : address_(std::move(address)),
      workers_(std::make_unique<Workers>(*this)),
      checkpoints_(std::make_unique<Checkpoints>(*this)) {
  Start();
}

FakeCoordinator::~FakeCoordinator() { Stop(); }

void FakeCoordinator::Start() {
  grpc::ServerBuilder builder;
  wire::SetServerLimits(builder);
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(workers_.get());
  builder.RegisterService(checkpoints_.get());
  server_ = builder.BuildAndStart();
  BSNN_CHECK(server_ != nullptr);
}

void FakeCoordinator::Stop() {
  if (!server_) return;
  server_->Shutdown(gpr_time_0(GPR_CLOCK_MONOTONIC));
  server_->Wait();
  server_.reset();
}

bool FakeCoordinator::WaitFor(const std::function<bool(const FakeState&)>& condition) {
  const absl::MutexLock lock(&mutex_);
  const auto holds = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return condition(state_); };
  return mutex_.AwaitWithTimeout(absl::Condition(&holds), absl::Seconds(30));
}

absl::Status FakeCoordinator::Register(const v1::RegisterWorkerRequest& request) {
  const absl::MutexLock lock(&mutex_);
  ++state_.registrations;
  state_.registration = request;
  state_.knows_worker = true;
  return absl::OkStatus();
}

absl::Status FakeCoordinator::Synchronize(const v1::SynchronizeRequest& request,
                                          v1::SynchronizeResponse& out) {
  const absl::MutexLock lock(&mutex_);
  if (!state_.knows_worker || request.incarnation() != state_.registration.incarnation()) {
    return base::WithReason(absl::NotFoundError("worker is unknown"), {"WORKER_UNKNOWN", {}});
  }
  ++state_.synchronizations;
  state_.draining = request.draining();
  state_.reports.assign(request.attempts().begin(), request.attempts().end());
  for (const v1::AttemptOrder& order : state_.orders) *out.add_orders() = order;
  *out.mutable_next_call() = wire::ToProtoDuration(absl::Milliseconds(state_.next_call_ms));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FakeCoordinator::Publish(const v1::PublishEventsRequest& request) {
  const absl::MutexLock lock(&mutex_);
  ++state_.publishes;
  if (state_.fence) {
    return base::WithReason(absl::FailedPreconditionError("an older epoch"),
                            {"ATTEMPT_FENCED", {}});
  }
  ASSIGN_OR_RETURN(const base::JobId job, wire::ParseJobName("job", request.job()));
  auto& events = state_.events[fmt::format("{}.{}", job.value(), request.epoch())];
  std::vector<spec::Event> fresh;
  for (const v1::Event& message : request.events()) {
    ASSIGN_OR_RETURN(spec::Event event, wire::FromProto(message));
    const auto next = static_cast<int64_t>(events.size() + fresh.size()) + 1;
    if (event.sequence > next) {
      return base::WithReason(absl::OutOfRangeError("a gap"),
                              {"EVENT_GAP", {{"acknowledged_sequence", std::to_string(next - 1)}}});
    }
    if (event.sequence < next) {
      ++state_.duplicates;
      continue;
    }
    fresh.push_back(std::move(event));
  }
  const spec::Finished* finished = FinishedOf(fresh);
  if (finished != nullptr && finished->outcome == spec::Outcome::kSucceeded &&
      state_.require_checkpoint) {
    bool stored = false;
    for (const auto& [name, checkpoint] : state_.checkpoints) {
      stored |= checkpoint.facts.digest() == finished->checkpoint_digest;
    }
    if (!stored) {
      return base::WithReason(absl::FailedPreconditionError("no such checkpoint"),
                              {"CHECKPOINT_MISSING", {}});
    }
  }
  if (finished != nullptr) state_.order_of_ends += 'F';
  events.insert(events.end(), fresh.begin(), fresh.end());
  if (state_.publish_replies_to_lose > 0) {
    --state_.publish_replies_to_lose;
    return Unavailable("the reply was lost");
  }
  return static_cast<int64_t>(events.size());
}

absl::Status FakeCoordinator::Upload(
    grpc::ServerReaderWriter<v1::UploadCheckpointResponse, v1::UploadCheckpointRequest>& stream) {
  v1::UploadCheckpointRequest request;
  if (!stream.Read(&request) || !request.has_begin()) return Unavailable("no begin");
  const auto begin = request.begin();
  ASSIGN_OR_RETURN(const base::JobId job, wire::ParseJobName("job", begin.job()));
  ASSIGN_OR_RETURN(const auto manifest, artifact::ParseManifest(begin.manifest()));
  const std::string digest = artifact::Sha256Hex(begin.manifest());
  v1::UploadCheckpointResponse answer;
  int64_t cut_after = -1;
  {
    const absl::MutexLock lock(&mutex_);
    if (!state_.upload_status.ok()) return state_.upload_status;
    cut_after = std::exchange(state_.upload_cut_after, -1);
    for (const auto& file : manifest.files) {
      auto& committed = *answer.add_committed();
      committed.set_file(file.name);
      committed.set_committed_bytes(
          static_cast<int64_t>(state_.partial[digest + "/" + file.name].size()));
    }
  }
  stream.Write(answer);
  bool first = true;
  while (stream.Read(&request) && request.has_file_chunk()) {
    const absl::MutexLock lock(&mutex_);
    const v1::Chunk& chunk = request.file_chunk().chunk();
    std::string& bytes = state_.partial[digest + "/" + request.file_chunk().file()];
    RETURN_IF_ERROR(CheckChunk(chunk, bytes.size()));
    if (std::exchange(first, false)) state_.upload_first_offsets.push_back(chunk.offset());
    bytes += chunk.data();
    if (cut_after >= 0 && static_cast<int64_t>(bytes.size()) > cut_after) {
      bytes.resize(static_cast<size_t>(cut_after));
      return Unavailable("the link was cut");
    }
  }
  if (!request.finish()) return Unavailable("no finish");
  StoredCheckpoint stored;
  const std::string id = fmt::format("a{}-step-{:08}", begin.attempt_epoch(), manifest.step);
  const std::string name = begin.job() + "/checkpoints/" + id;
  const absl::MutexLock lock(&mutex_);
  stored.facts.set_name(name);
  stored.facts.set_digest(digest);
  stored.files["manifest.json"] = begin.manifest();
  for (const auto& file : manifest.files) {
    stored.files[file.name] = state_.partial[digest + "/" + file.name];
    if (artifact::Sha256Hex(stored.files[file.name]) != file.sha256) {
      return absl::DataLossError("the file does not match its digest");
    }
  }
  v1::UploadCheckpointResponse last;
  *last.mutable_published() = stored.facts;
  state_.checkpoints[name] = std::move(stored);
  state_.order_of_ends += 'P';
  stream.Write(last);
  return absl::OkStatus();
}

absl::StatusOr<v1::Checkpoint> FakeCoordinator::Get(const std::string& name) {
  const absl::MutexLock lock(&mutex_);
  const auto found = state_.checkpoints.find(name);
  if (found == state_.checkpoints.end()) {
    return base::WithReason(absl::NotFoundError("no such checkpoint"),
                            {"CHECKPOINT_NOT_FOUND", {}});
  }
  return found->second.facts;
}

absl::Status FakeCoordinator::Download(const v1::DownloadCheckpointRequest& request,
                                       grpc::ServerWriter<v1::DownloadCheckpointResponse>& writer) {
  constexpr size_t kChunk = 1000;  // small, so that a cut falls inside a file
  std::string bytes;
  int64_t cut_after = -1;
  {
    const absl::MutexLock lock(&mutex_);
    state_.download_offsets.push_back(request.read_offset());
    if (state_.data_loss == request.name()) return absl::DataLossError("a stored byte has changed");
    bytes = state_.checkpoints[request.name()].files[request.file()];
    if (static_cast<int64_t>(bytes.size()) > state_.download_cut_after) {
      cut_after = std::exchange(state_.download_cut_after, -1);
    }
  }
  for (auto offset = static_cast<size_t>(request.read_offset()); offset < bytes.size();
       offset += kChunk) {
    if (cut_after >= 0 && static_cast<int64_t>(offset) >= cut_after) {
      return Unavailable("the link was cut");
    }
    v1::DownloadCheckpointResponse response;
    auto& chunk = *response.mutable_chunk();
    chunk.set_offset(static_cast<int64_t>(offset));
    chunk.set_data(bytes.substr(offset, kChunk));
    chunk.set_crc32c(wire::Crc32c(chunk.data()));
    writer.Write(response);
  }
  return absl::OkStatus();
}

v1::AttemptOrder RunOrder(const std::string& job, int epoch, int slot) {
  v1::AttemptOrder order;
  order.set_job("jobs/" + job);
  order.set_epoch(epoch);
  order.set_action(v1::AttemptOrder::RUN);
  *order.mutable_spec() = wire::ToProto(spec::JobSpec());
  order.set_slot(slot);
  return order;
}

v1::AttemptOrder StopOrder(const std::string& job, int epoch, double grace_seconds) {
  v1::AttemptOrder order;
  order.set_job("jobs/" + job);
  order.set_epoch(epoch);
  order.set_action(v1::AttemptOrder::STOP);
  *order.mutable_grace() = wire::ToProtoDuration(absl::Seconds(grace_seconds));
  return order;
}

StoredCheckpoint MakeCheckpoint(const std::string& job, const std::string& id, int64_t step,
                                const std::string& content) {
  const artifact::Manifest manifest{
      .step = step,
      .epoch = 1,
      .accuracy_ratio = 0.5,
      .spec = "{}",
      .files = {{"model.safetensors", content.size(), artifact::Sha256Hex(content)}}};
  StoredCheckpoint stored;
  stored.files = {{"manifest.json", artifact::ToText(manifest)}, {"model.safetensors", content}};
  stored.facts.set_name("jobs/" + job + "/checkpoints/" + id);
  stored.facts.set_step(step);
  stored.facts.set_digest(artifact::Sha256Hex(stored.files["manifest.json"]));
  for (const auto& [name, bytes] : stored.files) {
    auto& file = *stored.facts.add_files();
    file.set_name(name);
    file.set_size_bytes(static_cast<int64_t>(bytes.size()));
    file.set_sha256(artifact::Sha256Hex(bytes));
  }
  return stored;
}

std::vector<std::string> LogsOf(const std::vector<spec::Event>& events) {
  std::vector<std::string> logs;
  for (const spec::Event& event : events) {
    if (const auto* log = std::get_if<spec::LogLine>(&event.kind)) logs.push_back(log->message);
  }
  return logs;
}

const spec::Finished* FinishedOf(const std::vector<spec::Event>& events) {
  for (const spec::Event& event : events) {
    if (const auto* finished = std::get_if<spec::Finished>(&event.kind)) return finished;
  }
  return nullptr;
}

}  // namespace bsnn::test
