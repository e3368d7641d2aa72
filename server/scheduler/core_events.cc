#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/scheduler/core.h"

namespace bsnn::scheduler {
namespace {

absl::Status Fenced(const base::JobId& job, int32_t epoch, std::string_view why) {
  return base::WithReason(absl::FailedPreconditionError(fmt::format(
                              "attempt {} of job {} is not live: {}", epoch, job.value(), why)),
                          {"ATTEMPT_FENCED", {{"job", job.value()}}});
}

absl::Status Field(std::string field, std::string value, std::string allowed) {
  return base::InvalidFields({{std::move(field), std::move(value), std::move(allowed)}});
}

FailureClass FailureClassOf(spec::TrainerFailure failure) {
  switch (failure) {
    case spec::TrainerFailure::kUserError:
      return FailureClass::kUserError;
    case spec::TrainerFailure::kDataUnavailable:
      return FailureClass::kDataUnavailable;
    case spec::TrainerFailure::kNone:
    case spec::TrainerFailure::kInfrastructure:
      break;
  }
  return FailureClass::kInfrastructure;
}

absl::Status CheckNumbers(const std::vector<spec::Event>& events) {
  if (events.empty() || events.size() > base::kEventsPerBatchMax) {
    return Field("events", fmt::format("{} events", events.size()),
                 fmt::format("1 to {}", base::kEventsPerBatchMax));
  }
  if (events.front().sequence < 1) {
    return Field("events[0].sequence", std::to_string(events.front().sequence), "at least 1");
  }
  for (size_t i = 1; i < events.size(); ++i) {
    if (events[i].sequence != events[i - 1].sequence + 1) {
      return Field(fmt::format("events[{}].sequence", i), std::to_string(events[i].sequence),
                   fmt::format("{}, for numbers are contiguous", events[i - 1].sequence + 1));
    }
    if (std::holds_alternative<spec::Finished>(events[i - 1].kind)) {
      return Field(fmt::format("events[{}]", i), "an event after finished", "none");
    }
  }
  return absl::OkStatus();
}

}  // namespace

const store::CheckpointRecord* Core::FindDigest(const Job& job, std::string_view digest) {
  for (auto item = job.checkpoints.rbegin(); item != job.checkpoints.rend(); ++item) {
    if (item->second.digest == digest) return &item->second;
  }
  return nullptr;
}

absl::Status Core::CheckBatch(const EventBatch& batch, const Job& job,
                              const store::AttemptRecord& attempt) const {
  const int64_t acknowledged = attempt.acknowledged_sequence;
  if (batch.events.front().sequence > acknowledged + 1) {
    return base::WithReason(
        absl::OutOfRangeError(fmt::format("events[0].sequence is {}, but {} comes next",
                                          batch.events.front().sequence, acknowledged + 1)),
        {"EVENT_GAP", {{"acknowledged_sequence", std::to_string(acknowledged)}}});
  }
  const auto* finished = std::get_if<spec::Finished>(&batch.events.back().kind);
  if (finished == nullptr || finished->outcome != spec::Outcome::kSucceeded ||
      batch.events.back().sequence <= acknowledged) {
    return absl::OkStatus();
  }
  if (FindDigest(job, finished->checkpoint_digest) != nullptr) return absl::OkStatus();
  return base::WithReason(absl::FailedPreconditionError(fmt::format(
                              "job {} has no checkpoint with digest '{}'; upload it first",
                              batch.job.value(), finished->checkpoint_digest)),
                          {"CHECKPOINT_MISSING", {{"digest", finished->checkpoint_digest}}});
}

absl::StatusOr<int64_t> Core::AcceptEvents(Instant now, const EventBatch& batch) {
  RETURN_IF_ERROR(CheckNumbers(batch.events));
  Job* const job = Find(batch.job);
  if (job == nullptr) {
    ++counters_.events_fenced;
    return Fenced(batch.job, batch.epoch, "there is no such job");
  }
  store::AttemptRecord* live = job->live();
  if (live == nullptr || live->epoch != batch.epoch || live->worker != batch.worker) {
    // The reply to its end may have been lost.
    for (const store::AttemptRecord& ended : job->attempts) {
      if (ended.epoch == batch.epoch && ended.worker == batch.worker && ended.finished &&
          batch.events.back().sequence <= ended.acknowledged_sequence) {
        counters_.events_repeated += std::ssize(batch.events);
        return ended.acknowledged_sequence;
      }
    }
    ++counters_.events_fenced;
    return Fenced(batch.job, batch.epoch,
                  live == nullptr ? fmt::format("the job is {}", ToWord(job->status().state))
                                  : fmt::format("attempt {} on worker {} is", live->epoch,
                                                live->worker.value()));
  }
  RETURN_IF_ERROR(CheckBatch(batch, *job, *live));
  if (!store_.HasRoom()) {
    return base::WithReason(
        absl::UnavailableError("the coordinator's store is behind; try again shortly"),
        {"STORE_BUSY", {}});
  }
  const int64_t acknowledged = live->acknowledged_sequence;
  if (batch.events.back().sequence <= acknowledged) {
    counters_.events_repeated += std::ssize(batch.events);
    return acknowledged;
  }
  live->acknowledged_sequence = batch.events.back().sequence;
  live->finished = std::holds_alternative<spec::Finished>(batch.events.back().kind);
  const int64_t taken = live->acknowledged_sequence;

  std::vector<spec::MetricPoint> points;
  std::vector<store::LogRecord> lines;
  const spec::Finished* finished = nullptr;
  for (const spec::Event& event : batch.events) {
    if (event.sequence <= acknowledged) {
      ++counters_.events_repeated;
      continue;
    }
    ++counters_.events;
    if ((finished = std::get_if<spec::Finished>(&event.kind)) == nullptr) {
      Take(now, *job, event, points, lines);
    }
  }
  Write(*job, store::PutAttempt{job->record.id, *live});
  if (!points.empty()) {
    ChangeOf(*job).metrics = true;
    Write(*job, store::AppendMetrics{job->record.id, std::move(points)});
  }
  if (!lines.empty()) {
    ChangeOf(*job).logs = true;
    Write(*job, store::AppendLogs{job->record.id, std::move(lines)});
  }
  Touch(*job, now);
  if (job->status().state == JobState::kRunning) SetDue(*job, now.steady + HangLimit(*job));
  if (finished != nullptr) TakeFinished(now, *job, *finished);
  Place(now);
  return taken;
}

void Core::Take(Instant now, Job& job, const spec::Event& event,
                std::vector<spec::MetricPoint>& points, std::vector<store::LogRecord>& lines) {
  store::JobStatus& status = job.record.status;
  store::AttemptRecord& attempt = *job.live();
  if (const auto* started = std::get_if<spec::Started>(&event.kind)) {
    attempt.resumed_from_step = started->resumed_from_step;
    status.progress.step = started->resumed_from_step;
    status.progress.steps_total = started->steps_total;
    if (status.start_time == absl::InfiniteFuture()) {
      status.start_time = now.wall;
      const int32_t deadline = job.record.spec->scheduling.deadline_seconds;
      if (deadline > 0) SetTimer(job.deadline = now.steady + absl::Seconds(deadline), job);
    }
    if (status.state == JobState::kStarting) Enter(now, job, Trigger::kStarted);
  } else if (const auto* progress = std::get_if<spec::Progress>(&event.kind)) {
    job.step_clock.Add(event.time, progress->step);
    status.progress = {progress->step,
                       progress->steps_total,
                       progress->epoch,
                       progress->epochs_total,
                       progress->images_per_second,
                       progress->eta_seconds,
                       event.time};
  } else if (const auto* point = std::get_if<spec::MetricPoint>(&event.kind)) {
    TakePoint(job, *point, points);
  } else if (const auto* log = std::get_if<spec::LogLine>(&event.kind)) {
    ++counters_.log_lines;
    lines.push_back({event.time, attempt.epoch, log->severity, log->message});
  }
}

void Core::TakePoint(Job& job, const spec::MetricPoint& point,
                     std::vector<spec::MetricPoint>& points) {
  store::JobStatus& status = job.record.status;
  if (status.metric_points >= base::kMetricPointsPerJobMax || !Show(job, point)) {
    ++status.metric_points_dropped;
    ++counters_.metric_points_dropped;
    return;
  }
  ++status.metric_points;
  ++counters_.metric_points;
  points.push_back(point);
}

bool Core::Show(Job& job, const spec::MetricPoint& point) {
  SeriesKey key{point.name, point.layer, point.split, point.time_step};
  const auto found = job.series_index.find(key);
  if (found != job.series_index.end()) {
    job.values[found->second] = point.value;
    return true;
  }
  if (std::ssize(job.values) >= base::kSeriesPerJobMax) return false;
  auto series = std::make_shared<SeriesTable>(*job.series);
  series->push_back(key);
  job.series = std::move(series);
  job.series_index[std::move(key)] = job.values.size();
  job.values.push_back(point.value);
  return true;
}

void Core::TakeFinished(Instant now, Job& job, const spec::Finished& finished) {
  const std::string message =
      finished.message.empty() ? std::string("the trainer gave no reason") : finished.message;
  switch (finished.outcome) {
    case spec::Outcome::kSucceeded: {
      EndAttempt(now, job, FailureClass::kNone, "succeeded");
      job.record.status.progress.step = finished.step;
      job.record.status.progress.eta_seconds = 0;
      job.record.status.result = store::JobResult{finished.accuracy_ratio, finished.step,
                                                  FindDigest(job, finished.checkpoint_digest)->id,
                                                  finished.checkpoint_digest};
      return EndJob(now, job, Trigger::kSucceeded, FailureClass::kNone,
                    fmt::format("succeeded after {} steps", finished.step));
    }
    case spec::Outcome::kStopped:
      if (job.status().state == JobState::kCancelling) {
        return LoseAttempt(now, job, FailureClass::kNone,
                           fmt::format("it was stopped at step {}", finished.step));
      }
      return ReturnAttempt(now, job,
                           fmt::format("its worker stopped it at step {}", finished.step));
    case spec::Outcome::kFailed:
      return LoseAttempt(now, job, FailureClassOf(finished.failure), message);
  }
}

}  // namespace bsnn::scheduler
