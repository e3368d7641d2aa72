#include "worker/attempt_reporter.h"

#include <absl/strings/numbers.h>
#include <fmt/format.h>
#include <pthread.h>

#include <utility>

#include "artifact/checkpoint_folder.h"
#include "base/fault.h"
#include "base/logging.h"
#include "worker/session/checkpoint_upload.h"

namespace bsnn::worker {
namespace {

constexpr int kUploadTriesMax = 3;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

}  // namespace

AttemptReporter::AttemptReporter(Options options)
    : options_(std::move(options)), name_(options_.key.ToText()) {
  publisher_ = std::thread([this] { Publish(); });
  uploader_ = std::thread([this] { Upload(); });
  ::pthread_setname_np(publisher_.native_handle(), "publish");
  ::pthread_setname_np(uploader_.native_handle(), "upload");
}

AttemptReporter::~AttemptReporter() {
  Kill();
  publisher_.join();
  uploader_.join();
}

void AttemptReporter::Take(const std::vector<launcher::TailItem>& items) {
  const absl::Time now = options_.clock.Now();
  const absl::MutexLock lock(&mutex_);
  for (const launcher::TailItem& item : items) {
    if (item.fault.empty()) {
      relay_.TakeLine(item.line, now);
    } else {
      relay_.TakeFault(item.fault, now);
    }
  }
  changed_.SignalAll();
}

void AttemptReporter::AddLog(spec::Severity severity, const std::string& message) {
  const absl::MutexLock lock(&mutex_);
  relay_.AddLog(severity, message, options_.clock.Now());
  changed_.SignalAll();
}

void AttemptReporter::EndTrainer(const agent::TrainerEnd& end) {
  const absl::MutexLock lock(&mutex_);
  relay_.EndTrainer(end, options_.clock.Now());
  changed_.SignalAll();
}

void AttemptReporter::EndWithout(const spec::Finished& finished) {
  const absl::MutexLock lock(&mutex_);
  relay_.EndWithout(finished, options_.clock.Now());
  changed_.SignalAll();
}

bool AttemptReporter::HasRoom() const {
  const absl::MutexLock lock(&mutex_);
  return !dead_ && relay_.HasRoom();
}

bool AttemptReporter::WaitForRoom() {
  const absl::MutexLock lock(&mutex_);
  while (!dead_ && !relay_.HasRoom()) changed_.Wait(&mutex_);
  return !dead_;
}

bool AttemptReporter::HasFinished() const {
  const absl::MutexLock lock(&mutex_);
  return relay_.has_finished();
}

void AttemptReporter::Kill() {
  {
    const absl::MutexLock lock(&mutex_);
    dead_ = true;
    changed_.SignalAll();
  }
  calls_.Cancel();
}

int64_t AttemptReporter::pending() const {
  const absl::MutexLock lock(&mutex_);
  return dead_ ? 0 : relay_.pending();
}

int64_t AttemptReporter::upload_bytes_left() const {
  const absl::MutexLock lock(&mutex_);
  return dead_ ? 0 : std::max<int64_t>(0, relay_.UploadBytes() - uploaded_bytes_);
}

bool AttemptReporter::HasReported() const {
  const absl::MutexLock lock(&mutex_);
  return dead_ || relay_.finished();
}

bool AttemptReporter::IsDone() const {
  const absl::MutexLock lock(&mutex_);
  return threads_running_ == 0;
}

void AttemptReporter::ThreadEnded() {
  {
    const absl::MutexLock lock(&mutex_);
    --threads_running_;
  }
  options_.changed();
}

void AttemptReporter::Fence(const absl::Status& status) {
  {
    const absl::MutexLock lock(&mutex_);
    if (std::exchange(dead_, true)) return;
    changed_.SignalAll();
  }
  base::LogWarning(
      fmt::format("event=attempt_fenced attempt={} error=\"{}\"", name_, Text(status)));
  calls_.Cancel();
  options_.fenced();
}

// --- the publishing thread ---

std::vector<spec::Event> AttemptReporter::WaitForBatch() {
  const absl::MutexLock lock(&mutex_);
  while (!dead_ && !relay_.finished()) {
    std::vector<spec::Event> batch = relay_.Batch();
    if (!batch.empty()) return batch;
    changed_.Wait(&mutex_);
  }
  return {};
}

void AttemptReporter::Publish() {
  base::Backoff backoff(options_.backoff, base::SystemRandomBits());
  while (true) {
    const std::vector<spec::Event> batch = WaitForBatch();
    if (batch.empty()) break;
    if (PublishBatch(batch)) {
      if (backoff.tries() > 0) {
        base::LogInfo(fmt::format("event=publishing_resumed attempt={}", name_));
      }
      backoff.Reset();
      continue;
    }
    if (backoff.tries() == 0 && !calls_.cancelled()) {
      base::LogWarning(fmt::format("event=publishing_held_up attempt={}", name_));
    }
    if (!calls_.Wait(backoff.Next())) break;
  }
  ThreadEnded();
}

bool AttemptReporter::PublishBatch(const std::vector<spec::Event>& batch) {
  absl::StatusOr<int64_t> acknowledged = options_.client.Publish(options_.key, batch, calls_);
  if (acknowledged.ok() && *acknowledged < batch.front().sequence) {
    acknowledged = absl::UnavailableError(
        fmt::format("acknowledged {} of events from {}", *acknowledged, batch.front().sequence));
  }
  if (!acknowledged.ok()) {
    base::LogDebug(fmt::format("event=publish_failed attempt={} error=\"{}\"", name_,
                               Text(acknowledged.status())));
    HandleFailure(acknowledged.status());
    return false;
  }
  {
    const absl::MutexLock lock(&mutex_);
    relay_.Acknowledge(*acknowledged);
    changed_.SignalAll();
    if (!relay_.finished()) return true;
  }
  options_.changed();
  return true;
}

void AttemptReporter::HandleFailure(const absl::Status& status) {
  const base::Reason reason = base::ReasonOf(status);
  const session::Failure failure = session::FailureOf(status);
  if (failure == session::Failure::kFenced) return Fence(status);
  if (failure == session::Failure::kRetry) return;
  base::LogError(fmt::format("event=publish_refused attempt={} error=\"{}\"", name_, Text(status)));
  const auto metadata = reason.metadata.find("acknowledged_sequence");
  int64_t sequence = 0;
  const absl::MutexLock lock(&mutex_);
  if (reason.reason == "CHECKPOINT_MISSING") {
    relay_.CheckpointMissing(options_.clock.Now());
  } else if (reason.reason == "EVENT_GAP" && metadata != reason.metadata.end() &&
             absl::SimpleAtoi(metadata->second, &sequence)) {
    relay_.ContinueAfter(sequence);
  } else if (absl::IsInvalidArgument(status)) {
    relay_.Refuse(Text(status), options_.clock.Now());
  }
  changed_.SignalAll();
}

// --- the uploading thread ---

std::optional<agent::PendingUpload> AttemptReporter::WaitForUpload() {
  const absl::MutexLock lock(&mutex_);
  while (!dead_ && !relay_.finished()) {
    if (auto upload = relay_.NextUpload()) return upload;
    changed_.Wait(&mutex_);
  }
  return std::nullopt;
}

void AttemptReporter::Upload() {
  base::Backoff backoff(options_.backoff, base::SystemRandomBits());
  int tries = 0;
  while (const auto upload = WaitForUpload()) {
    if (UploadOne(*upload, tries)) {
      tries = 0;
      backoff.Reset();
    } else if (!calls_.Wait(backoff.Next())) {
      break;
    }
  }
  ThreadEnded();
}

bool AttemptReporter::UploadOne(const agent::PendingUpload& upload, int& tries) {
  const spec::CheckpointWritten& checkpoint = upload.checkpoint;
  bool ended = true;
  const absl::Status status = TryUpload(upload, ended, tries);
  uploaded_bytes_ = 0;
  if (!ended) {
    WarnOfDelay(checkpoint, status);
    return false;
  }
  if (status.ok()) {
    base::LogInfo(
        fmt::format("event=checkpoint_stored attempt={} step={}", name_, checkpoint.step));
  } else {
    base::LogWarning(fmt::format("event=checkpoint_not_stored attempt={} step={} error=\"{}\"",
                                 name_, checkpoint.step, Text(status)));
  }
  const absl::MutexLock lock(&mutex_);
  relay_.UploadEnded(checkpoint, status, options_.clock.Now());
  changed_.SignalAll();
  return true;
}

void AttemptReporter::WarnOfDelay(const spec::CheckpointWritten& checkpoint,
                                  const absl::Status& status) {
  const std::string text = fmt::format("event=upload_failed attempt={} step={} error=\"{}\"", name_,
                                       checkpoint.step, Text(status));
  // The first failure of a checkpoint is told to its user too; the rest is for those who look.
  if (std::exchange(delayed_step_, checkpoint.step) == checkpoint.step) return base::LogDebug(text);
  base::LogWarning(text);
  if (calls_.cancelled()) return;
  const absl::MutexLock lock(&mutex_);
  relay_.AddLog(spec::Severity::kWarning,
                fmt::format("the checkpoint of step {} is not stored yet: {}; it is tried again",
                            checkpoint.step, Text(status)),
                options_.clock.Now());
  changed_.SignalAll();
}

absl::Status AttemptReporter::TryUpload(const agent::PendingUpload& upload, bool& ended,
                                        int& tries) {
  const spec::CheckpointWritten& checkpoint = upload.checkpoint;
  if (checkpoint.folder != "checkpoints/" + artifact::CheckpointFolderName(checkpoint.step)) {
    return absl::InvalidArgumentError(
        fmt::format("its folder is '{}' (allowed: checkpoints/step-NNNNNNNN, its step)",
                    base::Shorten(checkpoint.folder, 128)));
  }
  const session::UploadResult result =
      session::UploadCheckpoint(options_.channel,
                                {.worker = options_.client.identity().id,
                                 .key = options_.key,
                                 .folder = options_.folder / checkpoint.folder,
                                 .checkpoint = checkpoint,
                                 .after_event_sequence = upload.after_event_sequence,
                                 .sent_bytes = &uploaded_bytes_},
                                calls_);
  if (result.end != session::UploadEnd::kFailed) return result.status;
  const session::Failure failure = session::FailureOf(result.status);
  if (failure == session::Failure::kFenced) Fence(result.status);
  ended = failure == session::Failure::kRefused && ++tries == kUploadTriesMax;
  // NotFound would read as "removed by retention".
  return ended ? absl::AbortedError(Text(result.status)) : result.status;
}

}  // namespace bsnn::worker
