#include "server/commands/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/commands/attempts.h"
#include "server/commands/jobs.h"
#include "server/commands/workers.h"

namespace bsnn::commands {
namespace {

using cluster::Job;

absl::Status Fenced(Transaction& tx, const EventBatch& batch, std::string_view why) {
  ++tx.counters().events_fenced;
  return base::WithReason(
      absl::FailedPreconditionError(
          fmt::format("attempt {} of job {} is not live: {}", batch.epoch, batch.job.value(), why)),
      {"ATTEMPT_FENCED", {{"job", batch.job.value()}}});
}

absl::Status Field(std::string field, std::string value, std::string allowed) {
  return base::InvalidFields({{std::move(field), std::move(value), std::move(allowed)}});
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

absl::Status CheckBatch(const EventBatch& batch, const Job& job) {
  const int64_t acknowledged = job.live()->acknowledged_sequence;
  if (batch.events.front().sequence > acknowledged + 1) {
    return base::WithReason(
        absl::OutOfRangeError(fmt::format("events[0].sequence is {}, but {} comes next",
                                          batch.events.front().sequence, acknowledged + 1)),
        {"EVENT_GAP", {{"acknowledged_sequence", std::to_string(acknowledged)}}});
  }
  const auto* finished = std::get_if<spec::Finished>(&batch.events.back().kind);
  if (finished == nullptr || finished->outcome != spec::Outcome::kSucceeded ||
      batch.events.back().sequence <= acknowledged ||
      job.FindDigest(finished->checkpoint_digest) != nullptr) {
    return absl::OkStatus();
  }
  return base::WithReason(absl::FailedPreconditionError(fmt::format(
                              "job {} has no checkpoint with digest '{}'; upload it first",
                              batch.job.value(), finished->checkpoint_digest)),
                          {"CHECKPOINT_MISSING", {{"digest", finished->checkpoint_digest}}});
}

/// What the new events of one batch change, gathered before anything is done.
class Intake {
 public:
  Intake(Transaction& tx, const Job& job)
      : tx_(tx),
        job_(job),
        seen_(tx.sightings().attempts.at(job.record.sequence)),
        status_(job.status()),
        attempt_(*job.live()) {}

  void TakeEvent(const spec::Event& event, bool admitted) {
    ++tx_.counters().events;
    attempt_.acknowledged_sequence = event.sequence;
    if (const auto* started = std::get_if<spec::Started>(&event.kind)) {
      TakeStarted(*started);
    } else if (const auto* progress = std::get_if<spec::Progress>(&event.kind)) {
      TakeProgress(*progress, event.time);
    } else if (const auto* point = std::get_if<spec::MetricPoint>(&event.kind)) {
      TakePoint(*point, admitted);
    } else if (const auto* log = std::get_if<spec::LogLine>(&event.kind)) {
      lines_.push_back({event.time, attempt_.epoch, log->severity, log->message});
    } else if (std::holds_alternative<spec::Finished>(event.kind)) {
      attempt_.finished = true;
    }
  }

  /// One attempt, one status, and the histories.
  void Do() {
    const base::JobId& id = job_.record.id;
    tx_.Do(store::PutAttempt{id, std::move(attempt_)});
    if (!points_.empty()) tx_.Do(store::AppendMetrics{id, std::move(points_)});
    if (!lines_.empty()) tx_.Do(store::AppendLogs{id, std::move(lines_)});
    tx_.UpdateStatus(job_, [&](store::JobStatus& status) { status = std::move(status_); });
    if (started_) BeginTraining(tx_, job_);
    if (stepped_) {
      if (!seen_.stepped) TrustPlace(tx_, job_);
      seen_.progress_at = tx_.now().steady;
    }
    if ((started_ || stepped_) && job_.live()->stop == StopReason::kNone) {
      SetAttemptTimer(tx_, job_);
    }
  }

 private:
  void TakeStarted(const spec::Started& started) {
    started_ = true;
    attempt_.resumed_from_step = started.resumed_from_step;
    status_.progress.step = started.resumed_from_step;
    status_.progress.steps_total = started.steps_total;
    seen_.largest_step = started.resumed_from_step;
    seen_.progress_at = tx_.now().steady;
    // Points behind the checkpoint will come again, in the place of those that are there.
    int64_t points = 0;
    for (const auto& [at, checkpoint] : job_.checkpoints) {
      if (checkpoint.step == started.resumed_from_step) points = checkpoint.metric_points;
    }
    if (points > 0 || started.resumed_from_step == 0) {
      status_.metric_points = std::min(status_.metric_points, points);
    }
  }

  void TakeProgress(const spec::Progress& progress, absl::Time time) {
    seen_.step_clock.Add(time, progress.step);
    if (progress.step > seen_.largest_step) {
      seen_.largest_step = progress.step;
      stepped_ = true;
    }
    status_.progress = {progress.step,
                        progress.steps_total,
                        progress.epoch,
                        progress.epochs_total,
                        progress.images_per_second,
                        progress.eta_seconds,
                        time};
  }

  void TakePoint(const spec::MetricPoint& point, bool admitted) {
    if (!admitted || status_.metric_points >= base::kMetricPointsPerJobMax) {
      ++status_.metric_points_dropped;
      ++tx_.counters().metric_points_dropped;
      return;
    }
    ++status_.metric_points;
    ++tx_.counters().metric_points;
    points_.push_back(point);
  }

  Transaction& tx_;
  const Job& job_;
  AttemptSighting& seen_;
  store::JobStatus status_;
  store::AttemptRecord attempt_;
  std::vector<spec::MetricPoint> points_;
  std::vector<store::LogRecord> lines_;
  bool started_ = false;
  bool stepped_ = false;
};

FailureClass ClassOf(spec::TrainerFailure failure) {
  switch (failure) {
    case spec::TrainerFailure::kUserError:
      return FailureClass::kUserError;
    case spec::TrainerFailure::kDataUnavailable:
      return FailureClass::kDataUnavailable;
    case spec::TrainerFailure::kNone:
    case spec::TrainerFailure::kInfrastructure:
      return FailureClass::kInfrastructure;
  }
  return FailureClass::kInfrastructure;
}

void EndByFinished(Transaction& tx, const Job& job, const spec::Finished& finished) {
  switch (finished.outcome) {
    case spec::Outcome::kSucceeded:
      return CompleteAttempt(
          tx, job,
          {finished.accuracy_ratio, finished.step, job.FindDigest(finished.checkpoint_digest)->id,
           finished.checkpoint_digest});
    case spec::Outcome::kStopped: {
      const bool asked = job.live()->stop != StopReason::kNone;
      return ReturnAttempt(tx, job,
                           fmt::format("{} stopped{} at step {}", asked ? "it was" : "its worker",
                                       asked ? "" : " it", finished.step));
    }
    case spec::Outcome::kFailed:
      return LoseAttempt(
          tx, job, ClassOf(finished.failure),
          finished.message.empty() ? "the trainer gave no reason" : finished.message);
  }
}

/// The attempt is not live. The reply to its end may have been lost: then it is given again.
absl::StatusOr<AcceptedEvents> AnswerForEnded(Transaction& tx, const Job& job,
                                              const EventBatch& batch) {
  for (const store::AttemptRecord& ended : job.attempts) {
    if (ended.epoch != batch.epoch || ended.worker != batch.worker) continue;
    // The attempt is over; its worker calls all the same.
    const cluster::Worker* const worker = tx.facts().FindWorker(batch.worker);
    if (worker != nullptr && worker->record.incarnation == ended.incarnation) {
      HearWorker(tx, batch.worker);
    }
    if (ended.finished && batch.events.back().sequence <= ended.acknowledged_sequence) {
      return AcceptedEvents{ended.acknowledged_sequence, batch.events.size()};
    }
  }
  const store::AttemptRecord* const live = job.live();
  return Fenced(tx, batch,
                live == nullptr
                    ? fmt::format("the job is {}", cluster::ToWord(job.status().state))
                    : fmt::format("attempt {} on worker {} is", live->epoch, live->worker.value()));
}

}  // namespace

absl::StatusOr<AcceptedEvents> AcceptEvents(Transaction& tx, const EventBatch& batch,
                                            const std::vector<bool>& admitted,
                                            bool store_has_room) {
  RETURN_IF_ERROR(CheckNumbers(batch.events));
  const Job* const job = tx.facts().FindJob(batch.job);
  if (job == nullptr) return Fenced(tx, batch, "there is no such job");
  const store::AttemptRecord* const live = job->live();
  if (live == nullptr || live->epoch != batch.epoch || live->worker != batch.worker) {
    return AnswerForEnded(tx, *job, batch);
  }
  HearWorker(tx, batch.worker);
  RETURN_IF_ERROR(CheckBatch(batch, *job));
  if (!store_has_room) {
    // What waits for the store is no hang: the attempt cannot go on before it is taken.
    NoteProgress(tx, *job);
    return StoreBusy();
  }
  const int64_t acknowledged = live->acknowledged_sequence;
  const int64_t newest = batch.events.back().sequence;
  if (newest <= acknowledged) return AcceptedEvents{acknowledged, batch.events.size()};

  const auto first_new = static_cast<size_t>(acknowledged + 1 - batch.events.front().sequence);
  Intake intake(tx, *job);
  for (size_t i = first_new; i < batch.events.size(); ++i) {
    intake.TakeEvent(batch.events[i], admitted[i]);
  }
  intake.Do();
  if (const auto* finished = std::get_if<spec::Finished>(&batch.events.back().kind)) {
    EndByFinished(tx, *job, *finished);
  }
  return AcceptedEvents{newest, first_new};
}

}  // namespace bsnn::commands
