#include "worker/agent/event_relay.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"

namespace bsnn::agent {
namespace {

constexpr size_t kEventsHeldMax = 2 * base::kEventsPerBatchMax;
constexpr size_t kUploadsHeldMax = 256;
constexpr size_t kBatchBytesMax = 2 << 20;
constexpr size_t kEventBytesApprox = 256;
constexpr int kReuploadsMax = 3;

/// Cut to its limit and, by way of its JSON line, valid UTF-8 whatever a process printed.
std::string CleanText(std::string_view text) {
  spec::Event event;
  event.kind = spec::LogLine{spec::Severity::kInfo, base::Shorten(text, base::kLogMessageBytesMax)};
  const auto clean = spec::ParseEventLine(spec::ToJsonLine(event));
  return clean.ok() ? std::get<spec::LogLine>(clean->kind).message : "(unreadable text)";
}

size_t ApproximateBytes(const spec::Event& event) {
  if (const auto* log = std::get_if<spec::LogLine>(&event.kind)) {
    return kEventBytesApprox + log->message.size();
  }
  if (const auto* finished = std::get_if<spec::Finished>(&event.kind)) {
    return kEventBytesApprox + finished->message.size();
  }
  return kEventBytesApprox;
}

int64_t StepOf(const spec::Event& event) {
  if (const auto* progress = std::get_if<spec::Progress>(&event.kind)) return progress->step;
  if (const auto* metric = std::get_if<spec::MetricPoint>(&event.kind)) return metric->step;
  if (const auto* written = std::get_if<spec::CheckpointWritten>(&event.kind)) return written->step;
  return 0;
}

std::string EndText(const TrainerEnd& end) {
  if (end.signal == 0) return fmt::format("exit status {}", end.exit_code);
  const char* name = sigdescr_np(end.signal);
  return fmt::format("signal {} ({})", end.signal, name != nullptr ? name : "unknown");
}

}  // namespace

EventRelay::EventRelay() : batch_limit_(base::kEventsPerBatchMax) {}

bool EventRelay::HasRoom() const {
  return events_.size() < kEventsHeldMax && uploads_.size() < kUploadsHeldMax;
}

void EventRelay::TakeLine(std::string_view line, absl::Time now) {
  if (SaidAll() || finished_) return;
  absl::StatusOr<spec::Event> event = spec::ParseEventLine(line);
  if (!event.ok()) return TakeFault(std::string(event.status().message()), now);
  newest_step_ = std::max(newest_step_, StepOf(*event));
  if (std::holds_alternative<spec::Finished>(event->kind)) {
    finished_ = *std::move(event);
    return Release();
  }
  if (const auto* written = std::get_if<spec::CheckpointWritten>(&event->kind)) {
    newest_ = *written;
    uploads_.push_back({*written, next_sequence_});
  }
  Append(std::move(event->kind), event->time);
}

void EventRelay::TakeFault(std::string_view what, absl::Time now) {
  if (finished_) return;
  AddLog(spec::Severity::kWarning,
         fmt::format("a line of the trainer was skipped: {}", base::Shorten(what, 1024)), now);
}

void EventRelay::AddLog(spec::Severity severity, std::string_view message, absl::Time now) {
  if (SaidAll()) return;
  Append(spec::LogLine{severity, CleanText(message)}, now);
}

void EventRelay::EndTrainer(const TrainerEnd& end, absl::Time now) {
  if (ended_) return;
  ended_ = true;
  if (!finished_) {
    if (!end.log_tail.empty()) {
      constexpr size_t kTailBytesMax = 6 << 10;
      std::string_view tail = end.log_tail;
      if (tail.size() > kTailBytesMax) tail.remove_prefix(tail.size() - kTailBytesMax);
      AddLog(spec::Severity::kError, fmt::format("the trainer's last words:\n{}", tail), now);
    }
    spec::Event event;
    event.time = now;
    event.kind = Fallback(end);
    finished_ = std::move(event);
  }
  Release();
}

spec::Finished EventRelay::Fallback(const TrainerEnd& end) const {
  spec::Finished finished;
  finished.step = newest_step_;
  finished.accuracy_ratio = std::numeric_limits<double>::quiet_NaN();
  if (newest_) finished.checkpoint_digest = newest_->digest;
  finished.outcome = spec::Outcome::kFailed;
  finished.failure = spec::TrainerFailure::kInfrastructure;
  finished.message = fmt::format("trainer died: {}", EndText(end));
  if (!end.why_ended.empty()) {
    finished.message = fmt::format("trainer killed: {}: {}", end.why_ended, EndText(end));
  } else if (end.signal == 0 && end.exit_code == 2) {
    finished.failure = spec::TrainerFailure::kUserError;
    finished.message = "the trainer refused the job: exit status 2; see the job's log";
  } else if (end.signal == 0 && end.exit_code == 4) {
    finished.failure = spec::TrainerFailure::kDataUnavailable;
    finished.message = "the trainer found no data it can use: exit status 4; see the job's log";
  } else if (end.signal == 0 && end.exit_code == 3) {
    finished.outcome = spec::Outcome::kStopped;
    finished.failure = spec::TrainerFailure::kNone;
    finished.message = "stopped on request";
  }
  return finished;
}

void EventRelay::EndWithout(const spec::Finished& finished, absl::Time now) {
  if (ended_) return;
  ended_ = true;
  spec::Event event;
  event.time = now;
  event.kind = finished;
  std::get<spec::Finished>(event.kind).message = CleanText(finished.message);
  finished_ = std::move(event);
  Release();
}

std::vector<spec::Event> EventRelay::Batch() const {
  std::vector<spec::Event> batch;
  size_t bytes = 0;
  for (const spec::Event& event : events_) {
    bytes += ApproximateBytes(event);
    if (batch.size() == batch_limit_ || (bytes > kBatchBytesMax && !batch.empty())) break;
    batch.push_back(event);
  }
  return batch;
}

void EventRelay::Acknowledge(int64_t sequence) {
  while (!events_.empty() && events_.front().sequence <= sequence) {
    finished_acknowledged_ |= std::holds_alternative<spec::Finished>(events_.front().kind);
    events_.pop_front();
  }
  acknowledged_ = std::max(acknowledged_, sequence);
  batch_limit_ = std::min<size_t>(2 * batch_limit_, base::kEventsPerBatchMax);
}

void EventRelay::Refuse(std::string_view why, absl::Time now) {
  const size_t size = Batch().size();
  if (size > 1) {
    batch_limit_ = size / 2;
    return;
  }
  if (size == 0) return;
  batch_limit_ = base::kEventsPerBatchMax;
  spec::Event& event = events_.front();
  event.time = now;
  auto* finished = std::get_if<spec::Finished>(&event.kind);
  if (finished == nullptr) {
    event.kind = spec::LogLine{spec::Severity::kWarning,
                               CleanText(fmt::format("an event was refused: {}", why))};
    return;
  }
  *finished = {.outcome = spec::Outcome::kFailed,
               .step = std::max<int64_t>(newest_step_, 0),
               .accuracy_ratio = std::numeric_limits<double>::quiet_NaN(),
               .checkpoint_digest = "",
               .failure = spec::TrainerFailure::kInfrastructure,
               .message = CleanText(fmt::format("the trainer's result was refused: {}", why))};
}

void EventRelay::CheckpointMissing(absl::Time now) {
  if (events_.empty() || !std::holds_alternative<spec::Finished>(events_.back().kind)) return;
  Withdraw();
  auto& finished = std::get<spec::Finished>(finished_->kind);
  if (newest_ && newest_->digest == finished.checkpoint_digest && reuploads_ < kReuploadsMax) {
    ++reuploads_;
    uploads_.push_back({*newest_, acknowledged_});
    return;
  }
  finished.outcome = spec::Outcome::kFailed;
  finished.failure = spec::TrainerFailure::kInfrastructure;
  finished.message =
      fmt::format("the result's checkpoint {} could not be stored",
                  finished.checkpoint_digest.empty() ? "(none named)" : finished.checkpoint_digest);
  finished_->time = now;
  Release();
}

void EventRelay::ContinueAfter(int64_t sequence) {
  const int64_t first = events_.empty() ? next_sequence_ : events_.front().sequence;
  for (PendingUpload& upload : uploads_) {
    const int64_t after = upload.after_event_sequence;
    upload.after_event_sequence = after < first ? sequence : after - first + sequence + 1;
  }
  acknowledged_ = sequence;
  next_sequence_ = sequence + 1;
  for (spec::Event& event : events_) event.sequence = next_sequence_++;
}

std::optional<PendingUpload> EventRelay::NextUpload() const {
  if (uploads_.empty() || uploads_.front().after_event_sequence > acknowledged_) {
    return std::nullopt;
  }
  return uploads_.front();
}

int64_t EventRelay::UploadBytes() const {
  int64_t bytes = 0;
  for (const PendingUpload& upload : uploads_) bytes += upload.checkpoint.size_bytes;
  return bytes;
}

void EventRelay::UploadEnded(const spec::CheckpointWritten& checkpoint, const absl::Status& status,
                             absl::Time now) {
  const auto found = std::find_if(uploads_.begin(), uploads_.end(), [&](const auto& upload) {
    return upload.checkpoint.digest == checkpoint.digest;
  });
  if (found == uploads_.end()) return;
  uploads_.erase(found);
  if (absl::IsNotFound(status)) {
    AddLog(spec::Severity::kInfo,
           fmt::format("the checkpoint of step {} was not stored: removed by retention before its "
                       "upload",
                       checkpoint.step),
           now);
  } else if (!status.ok()) {
    AddLog(spec::Severity::kWarning,
           fmt::format("the checkpoint of step {} was not stored: {}", checkpoint.step,
                       std::string(status.message())),
           now);
  }
  Release();
}

bool EventRelay::SaidAll() const {
  return finished_acknowledged_ ||
         (!events_.empty() && std::holds_alternative<spec::Finished>(events_.back().kind));
}

void EventRelay::Append(decltype(spec::Event::kind) kind, absl::Time time) {
  spec::Event event;
  event.sequence = next_sequence_++;
  event.time = time;
  event.kind = std::move(kind);
  events_.push_back(std::move(event));
}

void EventRelay::Release() {
  if (!ended_ || !finished_ || !uploads_.empty()) return;
  Append(std::move(finished_->kind), finished_->time);
  finished_.reset();
}

void EventRelay::Withdraw() {
  finished_ = std::move(events_.back());
  events_.pop_back();
  --next_sequence_;
}

}  // namespace bsnn::agent
