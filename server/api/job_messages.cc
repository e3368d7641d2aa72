#include "server/api/job_messages.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/limits.h"
#include "server/api/request_check.h"
#include "server/cluster/job_states.h"
#include "wire/event.h"
#include "wire/names.h"
#include "wire/spec.h"

namespace bsnn::api {
namespace {

bool IsSet(absl::Time time) {
  return time != absl::InfiniteFuture() && time != absl::InfinitePast();
}

void Write(const store::JobProgress& progress, v1::Job::Progress& message) {
  message.set_step(progress.step);
  message.set_steps_total(progress.steps_total);
  message.set_epoch(progress.epoch);
  message.set_epochs_total(progress.epochs_total);
  if (progress.steps_total > 0) {
    message.set_progress_ratio(std::clamp(
        static_cast<double>(progress.step) / static_cast<double>(progress.steps_total), 0., 1.));
  }
  message.set_images_per_second(progress.images_per_second);
  message.set_eta_seconds(progress.eta_seconds);
  *message.mutable_update_time() = wire::ToProtoTime(progress.update_time);
}

void Write(const store::AttemptRecord& attempt, v1::Job::Attempt& message) {
  message.set_epoch(attempt.epoch);
  message.set_worker(wire::WorkerName(attempt.worker));
  *message.mutable_start_time() = wire::ToProtoTime(attempt.start_time);
  if (!attempt.live()) *message.mutable_end_time() = wire::ToProtoTime(attempt.end_time);
  message.set_failure_class(static_cast<v1::Job::FailureClass>(attempt.failure_class));
  message.set_message(attempt.message);
  message.set_resumed_from_step(attempt.resumed_from_step);
  auto& member = *message.add_members();
  member.set_worker(message.worker());
  member.set_slot(attempt.slot);
}

v1::Job::Wish WishOf(const store::JobStatus& status) {
  const bool cancelled = IsSet(status.cancel_time) || status.state == store::JobState::kCancelled;
  return cancelled ? v1::Job::CANCEL : v1::Job::RUN;
}

void WriteOutcome(const store::JobRecord& record, v1::Job& message) {
  const store::JobStatus& status = record.status;
  if (status.result) {
    auto& result = *message.mutable_result();
    result.set_accuracy_ratio(status.result->accuracy_ratio);
    result.set_steps(status.result->steps);
    if (!status.result->checkpoint.empty()) {
      result.set_checkpoint(wire::CheckpointName(record.id, status.result->checkpoint));
    }
    result.set_checkpoint_digest(status.result->checkpoint_digest);
  }
  if (status.state == store::JobState::kFailed || status.state == store::JobState::kExpired) {
    auto& failure = *message.mutable_failure();
    failure.set_failure_class(static_cast<v1::Job::FailureClass>(status.failure_class));
    failure.set_message(status.message);
  }
}

void WriteTimes(const store::JobRecord& record, v1::Job& message) {
  const store::JobStatus& status = record.status;
  *message.mutable_create_time() = wire::ToProtoTime(record.create_time);
  if (IsSet(status.start_time)) {
    *message.mutable_start_time() = wire::ToProtoTime(status.start_time);
  }
  if (IsSet(status.end_time)) *message.mutable_end_time() = wire::ToProtoTime(status.end_time);
  if (IsSet(status.update_time)) {
    *message.mutable_update_time() = wire::ToProtoTime(status.update_time);
  }
}

}  // namespace

void Write(const scheduler::JobView& view, Detail detail, v1::Job& message) {
  const store::JobRecord& record = view.record;
  message.set_name(wire::JobName(record.id));
  message.set_display_name(record.display_name);
  if (detail == Detail::kFull) wire::Write(record.spec.Unpack(), *message.mutable_spec());
  const auto labels = record.labels.Unpack();
  message.mutable_labels()->insert(labels.begin(), labels.end());
  message.set_state(static_cast<v1::Job::State>(record.status.state));
  message.set_state_message(view.state_message);
  message.set_queue_position(view.queue_position);
  message.set_restart_count(record.status.restart_count);
  if (IsSet(record.status.progress.update_time)) {
    Write(record.status.progress, *message.mutable_progress());
  }
  if (detail == Detail::kFull) {
    for (const auto& attempt : view.attempts) Write(attempt, *message.add_attempts());
  }
  message.set_wish(WishOf(record.status));
  if (view.pending != scheduler::PendingReason::kNone) {
    message.mutable_pending()->set_reason(static_cast<v1::Job::Pending::Reason>(view.pending));
    message.mutable_pending()->set_message(view.state_message);
  }
  WriteOutcome(record, message);
  WriteTimes(record, message);
  message.set_etag(view.etag);
}

v1::Job ToProto(const scheduler::JobView& view, Detail detail) {
  v1::Job message;
  Write(view, detail, message);
  return message;
}

v1::LogEntry ToProto(const store::LogRecord& record) {
  v1::LogEntry message;
  *message.mutable_log_time() = wire::ToProtoTime(record.time);
  message.set_attempt_epoch(record.attempt_epoch);
  *message.mutable_line() = wire::ToProto(spec::LogLine{record.severity, record.message});
  return message;
}

absl::StatusOr<scheduler::CreateJobRequest> FromProto(const v1::CreateJobRequest& request) {
  RequestCheck check;
  const v1::Job& job = request.job();
  check.Require(request.job_id().empty() || base::IsId(request.job_id()), "job_id",
                "'" + request.job_id() + "'", "empty, or [a-z0-9-] of 1 to 63 characters");
  check.Require(request.has_job(), "job", "absent", "a job with its spec");
  check.Require(!request.has_job() || job.has_spec(), "job.spec", "absent",
                "a spec; an empty one takes every default");
  check.Require(CharactersOf(job.display_name()) <= base::kDisplayNameBytesMax, "job.display_name",
                job.display_name(),
                "at most " + std::to_string(base::kDisplayNameBytesMax) + " characters");
  std::map<std::string, std::string> labels(job.labels().begin(), job.labels().end());
  CheckLabels(check, "job.labels", labels);
  Refuse(check, !job.queue().empty(), "job.queue", job.queue());
  Refuse(check, job.wish() != v1::Job::WISH_UNSPECIFIED, "job.wish", std::to_string(job.wish()));
  Refuse(check, !job.source_checkpoint().empty(), "job.source_checkpoint", job.source_checkpoint());
  check.Require(request.request_id().empty() || IsUuid(request.request_id()), "request_id",
                "'" + request.request_id() + "'", "empty, or a UUID");
  spec::JobSpec spec = wire::FromProto(job.spec(), "job.spec.", check.faults());
  if (!check.ok()) return check.status();
  return scheduler::CreateJobRequest{request.job_id(), request.request_id(), job.display_name(),
                                     std::move(labels), std::move(spec)};
}

v1::Job PreviewOf(const scheduler::CreateJobRequest& request) {
  v1::Job message;
  message.set_display_name(request.display_name);
  message.mutable_labels()->insert(request.labels.begin(), request.labels.end());
  wire::Write(request.spec, *message.mutable_spec());
  return message;
}

}  // namespace bsnn::api
