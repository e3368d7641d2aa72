#include "server/api/download.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "artifact/digest.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/logging.h"
#include "base/status.h"
#include "server/api/blob_files.h"
#include "server/api/request_check.h"
#include "server/api/stream_reactor.h"
#include "wire/crc32c.h"
#include "wire/names.h"

namespace bsnn::api {
namespace {

using Message = v1::DownloadCheckpointResponse;

/// What is to be read, after every check.
struct ReadPlan {
  base::JobId job;
  base::CheckpointId checkpoint;
  store::CheckpointFile file;
  uint64_t begin = 0;
  uint64_t end = 0;

  bool whole() const { return begin == 0 && end == static_cast<uint64_t>(file.size_bytes); }
};

absl::Status WrongDigest(const store::CheckpointRecord& record, const std::string& asked) {
  return base::WithReason(absl::FailedPreconditionError(fmt::format(
                              "checkpoint {} of job {} has digest {}, not {}", record.id.value(),
                              record.job.value(), record.digest, base::Shorten(asked, 64))),
                          {"DIGEST_MISMATCH", {{"digest", record.digest}}});
}

absl::Status NoSuchFile(const store::CheckpointRecord& record, const std::string& file) {
  return base::WithReason(
      absl::NotFoundError(fmt::format("checkpoint {} of job {} has no file '{}'", record.id.value(),
                                      record.job.value(), base::Shorten(file, 64))),
      {"CHECKPOINT_FILE_NOT_FOUND", {{"file", file}}});
}

absl::StatusOr<ReadPlan> MakePlan(Backend& backend, const v1::DownloadCheckpointRequest& request) {
  RequestCheck check;
  const auto name = check.Take(wire::ParseCheckpointName("name", request.name()));
  check.Require(!request.file().empty(), "file", "empty", "a name of Checkpoint.files");
  check.Require(request.read_offset() >= 0, "read_offset", std::to_string(request.read_offset()),
                "0 to the file's size");
  check.Require(request.read_limit() >= 0, "read_limit", std::to_string(request.read_limit()),
                "0 for no limit, or above");
  if (!check.ok()) return check.status();
  ASSIGN_OR_RETURN(const auto record, backend.scheduler.GetCheckpoint(name.job, name.checkpoint));
  if (!request.if_digest_match().empty() && request.if_digest_match() != record.digest) {
    return WrongDigest(record, request.if_digest_match());
  }
  const auto file = std::find_if(record.files.begin(), record.files.end(),
                                 [&](const auto& item) { return item.name == request.file(); });
  if (file == record.files.end()) return NoSuchFile(record, request.file());
  const auto size = static_cast<uint64_t>(file->size_bytes);
  const auto begin = static_cast<uint64_t>(request.read_offset());
  if (begin > size) {
    return base::WithReason(
        absl::OutOfRangeError(
            fmt::format("read_offset {} is beyond the {} bytes of {}", begin, size, file->name)),
        {"OFFSET_OUT_OF_RANGE", {{"size_bytes", std::to_string(size)}}});
  }
  const auto limit = static_cast<uint64_t>(request.read_limit());
  const uint64_t end = limit == 0 ? size : begin + std::min(limit, size - begin);
  return ReadPlan{name.job, name.checkpoint, *file, begin, end};
}

class DownloadSource {
 public:
  DownloadSource(Backend& backend, ReadPlan plan)
      : backend_(backend),
        plan_(std::move(plan)),
        key_(FileKey(plan_.job, plan_.checkpoint, plan_.file.name)),
        offset_(plan_.begin),
        sums_(backend.sums->Find(plan_.file.sha256)) {
    if (sums_ == nullptr && plan_.whole()) hash_.emplace();
  }

  absl::StatusOr<Step> operator()(Message& message) {
    if (done_) return Step::kEnd;
    if (!begun_) RETURN_IF_ERROR(Begin(message));
    auto& chunk = *message.mutable_chunk();
    chunk.set_offset(static_cast<int64_t>(offset_));
    if (offset_ < plan_.end) RETURN_IF_ERROR(Read(chunk));
    RETURN_IF_ERROR(Sum(chunk));
    done_ = offset_ == plan_.end;
    if (done_ && hash_) {
      if (hash_->FinishHex() != plan_.file.sha256) return Lost("its bytes");
      backend_.sums->Put(plan_.file.sha256, std::move(new_sums_));
    }
    return Step::kSend;
  }

 private:
  absl::Status Begin(Message& message) {
    begun_ = true;
    const auto facts = backend_.blobs.Stat(key_);
    if (!facts.ok() && !absl::IsNotFound(facts.status())) return facts.status();
    if (!facts.ok() || !facts->published) return Gone();
    if (facts->size_bytes != static_cast<uint64_t>(plan_.file.size_bytes)) return Lost("its size");
    message.set_size_bytes(plan_.file.size_bytes);
    message.set_sha256(plan_.file.sha256);
    return absl::OkStatus();
  }

  absl::Status Read(v1::Chunk& chunk) {
    // Up to the end of a block, so that all but the first chunk are blocks.
    const uint64_t block_left = base::kChunkBytes - offset_ % base::kChunkBytes;
    const uint64_t limit = std::min(block_left, plan_.end - offset_);
    auto data = backend_.blobs.Read(key_, offset_, limit);
    if (absl::IsNotFound(data.status())) return Gone();
    RETURN_IF_ERROR(data.status());
    if (data->size() != limit) return Lost("its size");
    if (hash_) hash_->Update(*data);
    offset_ += limit;
    backend_.stats.checkpoint_read_bytes += static_cast<int64_t>(limit);
    chunk.set_data(*std::move(data));
    return absl::OkStatus();
  }

  /// Sets the chunk's checksum, and compares it where the chunk is a whole block.
  absl::Status Sum(v1::Chunk& chunk) {
    chunk.set_crc32c(wire::Crc32c(chunk.data()));
    if (hash_) new_sums_.push_back(chunk.crc32c());
    const auto begin = static_cast<uint64_t>(chunk.offset());
    const uint64_t size = chunk.data().size();
    const bool is_block =
        begin % base::kChunkBytes == 0 &&
        (size == base::kChunkBytes || begin + size == static_cast<uint64_t>(plan_.file.size_bytes));
    if (sums_ == nullptr || !is_block || size == 0) return absl::OkStatus();
    const size_t block = begin / base::kChunkBytes;
    if (block < sums_->size() && (*sums_)[block] == chunk.crc32c()) return absl::OkStatus();
    return Lost("its bytes");
  }

  /// The file is not there: the checkpoint was removed meanwhile, or its file was lost.
  absl::Status Gone() {
    const auto record = backend_.scheduler.GetCheckpoint(plan_.job, plan_.checkpoint);
    return record.ok() ? Lost("that it is there") : record.status();
  }

  absl::Status Lost(const char* what) {
    ++backend_.stats.checkpoint_verify_failures;
    const std::string text = fmt::format(
        "file {} of checkpoint {} of job {} is damaged: {} does not match the catalogue",
        plan_.file.name, plan_.checkpoint.value(), plan_.job.value(), what);
    base::LogError(fmt::format("checkpoint damaged job={} checkpoint={} file={}", plan_.job.value(),
                               plan_.checkpoint.value(), plan_.file.name));
    return base::WithReason(absl::DataLossError(text),
                            {"DIGEST_MISMATCH", {{"file", plan_.file.name}}});
  }

  Backend& backend_;
  const ReadPlan plan_;
  const blob::Key key_;
  uint64_t offset_;
  const std::shared_ptr<const BlockSums::Sums> sums_;
  std::optional<artifact::Sha256> hash_;
  BlockSums::Sums new_sums_;
  bool begun_ = false;
  bool done_ = false;
};

}  // namespace

grpc::ServerWriteReactor<Message>* StartDownload(Gate& gate,
                                                 const v1::DownloadCheckpointRequest& request) {
  if (const absl::Status status = gate.EnterStream(); !status.ok()) {
    return new RefusedStream<Message>(status);
  }
  auto plan = MakePlan(gate.backend(), request);
  if (!plan.ok()) {
    gate.LeaveStream();
    return new RefusedStream<Message>(plan.status());
  }
  const auto source = std::make_shared<DownloadSource>(gate.backend(), *std::move(plan));
  const auto stream =
      StreamReactor<Message>::Make(gate, gate.backend().disk, /*followed=*/std::nullopt);
  stream->Start([source](Message& message) { return (*source)(message); });
  return stream.get();
}

}  // namespace bsnn::api
