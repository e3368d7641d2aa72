#include "server/api/blob_sweeper.h"

#include <absl/strings/numbers.h>
#include <fmt/format.h>
#include <pthread.h>

#include <optional>
#include <string>

#include "base/logging.h"
#include "server/api/blob_files.h"

namespace bsnn::api {
namespace {

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

/// The attempt is asked for first, the catalogue second. An attempt that is not live when it is
/// asked for can put no checkpoint into the catalogue any more; the other way round, a last
/// checkpoint could enter it between the two answers.
bool IsOrphan(scheduler::Scheduler& scheduler, scheduler::Instant now, const base::JobId& job,
              const base::CheckpointId& checkpoint) {
  const auto view = scheduler.GetJob(now, job);
  if (view.ok() && !view->attempts.empty()) {
    const store::AttemptRecord& newest = view->attempts.back();
    if (newest.live() && EpochOf(checkpoint) == newest.epoch) return false;
  }
  return !scheduler.GetCheckpoint(job, checkpoint).ok();
}

}  // namespace

void SweepJob(scheduler::Scheduler& scheduler, blob::BlobStore& blobs, const base::Clock& clock,
              const base::JobId& job) {
  const auto stored = ListStoredCheckpoints(blobs, job);
  if (!stored.ok()) {
    base::LogWarning(fmt::format("event=sweep_failed job={} error=\"{}\"", job.value(),
                                 stored.status().ToString()));
    return;
  }
  int removed = 0;
  for (const base::CheckpointId& checkpoint : *stored) {
    if (!IsOrphan(scheduler, {clock.Now(), clock.Steady()}, job, checkpoint)) continue;
    RemoveBlobs(blobs, job, {checkpoint});
    ++removed;
  }
  if (removed == 0) return;
  base::LogInfo(
      fmt::format("event=orphaned_checkpoints_removed job={} count={}", job.value(), removed));
}

BlobSweeper::BlobSweeper(scheduler::Scheduler& scheduler, blob::BlobStore& blobs,
                         const base::Clock& clock, const Options& options)
    : scheduler_(scheduler), blobs_(blobs), clock_(clock), options_(options), thread_([this] {
        Run();
      }) {
  pthread_setname_np(thread_.native_handle(), "sweeper");
}

BlobSweeper::~BlobSweeper() { Stop(); }

void BlobSweeper::Sweep(const base::JobId& job) {
  absl::MutexLock lock(&mutex_);
  if (!stopping_) asked_.insert(job);
}

void BlobSweeper::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

bool BlobSweeper::SweepAskedAndWait(absl::Duration wait) {
  const absl::Duration until = clock_.Steady() + wait;
  const auto is_wanted = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !asked_.empty();
  };
  while (true) {
    base::JobId job;
    {
      absl::MutexLock lock(&mutex_);
      if (!mutex_.AwaitWithTimeout(absl::Condition(&is_wanted), until - clock_.Steady())) {
        return true;
      }
      if (stopping_) return false;
      job = *asked_.begin();
      asked_.erase(asked_.begin());
    }
    SweepJob(scheduler_, blobs_, clock_, job);
  }
}

void BlobSweeper::Run() {
  bool going = true;
  while (going) {
    const absl::Status status = blobs_.ForEachRoot([&](const std::string& name) {
      const auto job = base::JobId::Make(name);
      if (job.ok()) SweepJob(scheduler_, blobs_, clock_, *job);
      going = SweepAskedAndWait(options_.pause);
      return going;
    });
    if (!status.ok()) {
      base::LogWarning(fmt::format("event=sweep_failed error=\"{}\"", status.ToString()));
    }
    if (going) going = SweepAskedAndWait(options_.rest);
  }
}

}  // namespace bsnn::api
