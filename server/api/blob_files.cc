#include "server/api/blob_files.h"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "server/api/blob_sweeper.h"

namespace bsnn::api {
namespace {

blob::Key MustMake(const std::vector<std::string>& parts) {
  auto key = blob::Key::Make(parts);
  BSNN_CHECK(key.ok());
  return *std::move(key);
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

void RemoveBlobs(blob::BlobStore& blobs, const base::JobId& job,
                 const std::vector<base::CheckpointId>& checkpoints) {
  for (const base::CheckpointId& checkpoint : checkpoints) {
    const absl::Status status = blobs.Delete(CheckpointKey(job, checkpoint));
    if (!status.ok()) {
      base::LogWarning(fmt::format("checkpoint files stay job={} checkpoint={} error=\"{}\"",
                                   job.value(), checkpoint.value(), status.ToString()));
    }
  }
}

void RemoveBlobsWhenDurable(Backend& backend, store::Ticket ticket, const base::JobId& job,
                            std::vector<base::CheckpointId> checkpoints,
                            std::function<void()> done) {
  backend.store.WhenDurable(
      ticket, [&backend, job, checkpoints = std::move(checkpoints), done = std::move(done)] {
        const auto remove = [&backend, job, checkpoints, done] {
          RemoveBlobs(backend.blobs, job, checkpoints);
          done();
        };
        if (backend.disk.TrySubmit("remove blobs", remove)) return;
        // This may be the store's writer thread, for which all answers wait: it never unlinks.
        if (backend.sweeper != nullptr) backend.sweeper->Sweep(job);
        done();
      });
}

}  // namespace bsnn::api
