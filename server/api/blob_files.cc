#include "server/api/blob_files.h"

#include <absl/strings/numbers.h>
#include <fmt/format.h>

#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "artifact/digest.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/logging.h"
#include "base/status.h"

namespace bsnn::api {
namespace {

blob::Key MustMake(const std::vector<std::string>& parts) {
  auto key = blob::Key::Make(parts);
  BSNN_CHECK(key.ok());
  return *std::move(key);
}

void RemoveBlobs(Backend& backend, const base::JobId& job,
                 const std::vector<base::CheckpointId>& checkpoints) {
  for (const base::CheckpointId& checkpoint : checkpoints) {
    const absl::Status status = backend.blobs.Delete(CheckpointKey(job, checkpoint));
    if (!status.ok()) {
      base::LogWarning(fmt::format("checkpoint files stay job={} checkpoint={} error=\"{}\"",
                                   job.value(), checkpoint.value(), status.ToString()));
    }
  }
}

absl::Status Mismatch(const store::CheckpointRecord& record, const std::string& file) {
  return base::WithReason(
      absl::DataLossError(fmt::format("file {} of checkpoint {} of job {} no longer matches its "
                                      "digest",
                                      file, record.id.value(), record.job.value())),
      {"DIGEST_MISMATCH",
       {{"job", record.job.value()}, {"checkpoint", record.id.value()}, {"file", file}}});
}

/// The attempt epoch in "a{epoch}-step-{step}".
std::optional<int32_t> EpochOf(const base::CheckpointId& checkpoint) {
  const std::string& text = checkpoint.value();
  const size_t dash = text.find('-');
  int32_t epoch = 0;
  if (dash == std::string::npos || text[0] != 'a' ||
      !absl::SimpleAtoi(absl::string_view(text).substr(1, dash - 1), &epoch)) {
    return std::nullopt;
  }
  return epoch;
}

bool IsOrphan(Backend& backend, const base::JobId& job, const base::CheckpointId& checkpoint) {
  if (backend.scheduler.GetCheckpoint(job, checkpoint).ok()) return false;
  const auto view = backend.scheduler.GetJob(backend.Now(), job);
  if (!view.ok() || view->attempts.empty()) return true;
  const store::AttemptRecord& newest = view->attempts.back();
  return !newest.live() || EpochOf(checkpoint) != newest.epoch;  // else an upload may go on
}

struct StoredCheckpoint {
  base::JobId job;
  base::CheckpointId checkpoint;
  auto operator<=>(const StoredCheckpoint&) const = default;
};

std::optional<StoredCheckpoint> CheckpointOf(const blob::Key& key) {
  const std::string& text = key.text();
  const size_t first = text.find('/');
  const size_t second = text.find('/', first + 1);
  if (first == std::string::npos || second == std::string::npos) return std::nullopt;
  const auto job = base::JobId::Make(std::string_view(text).substr(0, first));
  const auto checkpoint =
      base::CheckpointId::Make(std::string_view(text).substr(first + 1, second - first - 1));
  if (!job.ok() || !checkpoint.ok()) return std::nullopt;
  return StoredCheckpoint{*job, *checkpoint};
}

}  // namespace

blob::Key FileKey(const base::JobId& job, const base::CheckpointId& checkpoint,
                  const std::string& file) {
  return MustMake({job.value(), checkpoint.value(), file});
}

blob::Key CheckpointKey(const base::JobId& job, const base::CheckpointId& checkpoint) {
  return MustMake({job.value(), checkpoint.value()});
}

absl::StatusOr<std::vector<base::CheckpointId>> ListStoredCheckpoints(blob::BlobStore& blobs,
                                                                      const base::JobId& job) {
  ASSIGN_OR_RETURN(const auto infos, blobs.List(MustMake({job.value()})));
  std::set<base::CheckpointId> checkpoints;
  for (const auto& info : infos) {
    if (const auto stored = CheckpointOf(info.key)) checkpoints.insert(stored->checkpoint);
  }
  return std::vector<base::CheckpointId>(checkpoints.begin(), checkpoints.end());
}

void RemoveBlobsWhenDurable(Backend& backend, store::Ticket ticket, const base::JobId& job,
                            std::vector<base::CheckpointId> checkpoints,
                            std::function<void()> done) {
  auto remove = [&backend, job, checkpoints = std::move(checkpoints), done = std::move(done)] {
    RemoveBlobs(backend, job, checkpoints);
    done();
  };
  backend.store.WhenDurable(ticket, [&backend, remove = std::move(remove)] {
    // A full queue is no reason to fail a call that is durable; the sweep would do it later, but
    // the caller waits for this.
    if (!backend.disk.TrySubmit(remove)) remove();
  });
}

absl::Status VerifyStored(const blob::BlobStore& blobs, const store::CheckpointRecord& record) {
  for (const store::CheckpointFile& file : record.files) {
    const blob::Key key = FileKey(record.job, record.id, file.name);
    artifact::Sha256 hash;
    uint64_t offset = 0;
    const auto size = static_cast<uint64_t>(file.size_bytes);
    while (offset < size) {
      const auto block = blobs.Read(key, offset, base::kChunkBytes);
      if (absl::IsNotFound(block.status()) || absl::IsOutOfRange(block.status())) {
        return Mismatch(record, file.name);
      }
      RETURN_IF_ERROR(block.status());
      if (block->empty() || block->size() > size - offset) return Mismatch(record, file.name);
      hash.Update(*block);
      offset += block->size();
    }
    if (hash.FinishHex() != file.sha256) return Mismatch(record, file.name);
    const auto facts = blobs.Stat(key);
    if (!facts.ok() || facts->size_bytes != size) return Mismatch(record, file.name);
  }
  return absl::OkStatus();
}

void SweepOrphans(Backend& backend) {
  const auto infos = backend.blobs.List(blob::Key());
  if (!infos.ok()) {
    base::LogWarning(fmt::format("cannot look for orphaned checkpoint files error=\"{}\"",
                                 infos.status().ToString()));
    return;
  }
  std::set<StoredCheckpoint> stored;
  for (const auto& info : *infos) {
    if (const auto checkpoint = CheckpointOf(info.key)) stored.insert(*checkpoint);
  }
  int removed = 0;
  for (const StoredCheckpoint& item : stored) {
    if (!IsOrphan(backend, item.job, item.checkpoint)) continue;
    RemoveBlobs(backend, item.job, {item.checkpoint});
    ++removed;
  }
  if (removed > 0) base::LogInfo(fmt::format("orphaned checkpoints removed count={}", removed));
}

}  // namespace bsnn::api
