#include "server/commands/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/commands/attempts.h"
#include "server/commands/jobs.h"
#include "server/commands/workers.h"

namespace bsnn::commands {
namespace {

using cluster::Job;

/// Checkpoints that the job's rule keeps, were `newest` in its catalogue: the newest keep_latest,
/// the keep_best most accurate besides, pinned ones and `newest`.
std::set<CheckpointCursor> Kept(const Job& job, const base::CheckpointId& newest) {
  const spec::CheckpointSpec rule = job.record.spec.Unpack().checkpoint;
  std::set<CheckpointCursor> keep;
  std::vector<std::pair<double, CheckpointCursor>> others;  // -accuracy
  for (auto item = job.checkpoints.rbegin(); item != job.checkpoints.rend(); ++item) {
    const auto& [at, record] = *item;
    if (record.pinned || record.id == newest || std::ssize(keep) < rule.keep_latest) {
      keep.insert(at);
    } else if (!std::isnan(record.accuracy_ratio)) {
      others.emplace_back(-record.accuracy_ratio, at);
    }
  }
  std::stable_sort(others.begin(), others.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < others.size() && std::cmp_less(i, rule.keep_best); ++i) {
    keep.insert(others[i].second);
  }
  return keep;
}

std::vector<base::CheckpointId> Retain(Transaction& tx, const Job& job,
                                       const base::CheckpointId& newest) {
  const std::set<CheckpointCursor> keep = Kept(job, newest);
  std::vector<base::CheckpointId> removed;
  for (const auto& [at, record] : job.checkpoints) {
    if (!keep.contains(at)) removed.push_back(record.id);
  }
  for (const auto& id : removed) tx.Do(store::DeleteCheckpoint{job.record.id, id});
  return removed;
}

absl::Status EventsFirst(const Job& job, int64_t after_event_sequence) {
  return base::WithReason(
      absl::UnavailableError(fmt::format(
          "job {}: events up to {} come before this checkpoint, and only {} are there; publish "
          "them, then finish the upload again",
          job.record.id.value(), after_event_sequence, job.live()->acknowledged_sequence)),
      {"EVENTS_FIRST", {{"job", job.record.id.value()}}});
}

}  // namespace

base::CheckpointId CheckpointIdOf(int32_t attempt_epoch, int64_t step) {
  auto id = base::CheckpointId::Make(fmt::format("a{}-step-{:08}", attempt_epoch, step));
  BSNN_CHECK(id.ok());
  return *std::move(id);
}

absl::Status CheckUpload(const cluster::Facts& facts, const UploadSource& source) {
  ASSIGN_OR_RETURN(const Job* const job, GetJob(facts, source.job));
  const store::AttemptRecord* const live = job->live();
  if (live != nullptr && live->epoch == source.attempt_epoch && live->worker == source.worker) {
    return absl::OkStatus();
  }
  return base::WithReason(absl::FailedPreconditionError(fmt::format(
                              "attempt {} of job {} on worker {} is not live", source.attempt_epoch,
                              source.job.value(), source.worker.value())),
                          {"ATTEMPT_FENCED", {{"job", source.job.value()}}});
}

absl::StatusOr<Published> RecordCheckpoint(Transaction& tx, const PublishRequest& request) {
  RETURN_IF_ERROR(CheckUpload(tx.facts(), request.source));
  HearWorker(tx, request.source.worker);
  const Job& job = *tx.facts().FindJob(request.source.job);
  const base::CheckpointId id = CheckpointIdOf(request.source.attempt_epoch, request.step);
  if (const auto* held = job.FindCheckpoint(id)) {
    if (held->digest == request.digest) return Published{*held, {}};
    return base::WithReason(
        absl::AlreadyExistsError(fmt::format("checkpoint {} of job {} has digest {}", id.value(),
                                             request.source.job.value(), held->digest)),
        {"CHECKPOINT_ID_TAKEN", {{"checkpoint", id.value()}}});
  }
  if (job.live()->acknowledged_sequence < request.after_event_sequence) {
    return EventsFirst(job, request.after_event_sequence);
  }
  // Retention makes room first: only pinned ones (and a rule that keeps as many) fill a catalogue.
  if (std::ssize(Kept(job, id)) >= base::kCheckpointsPerJobMax) {
    return base::WithReason(absl::ResourceExhaustedError(fmt::format(
                                "job {} keeps {} checkpoints; delete or unpin some",
                                request.source.job.value(), base::kCheckpointsPerJobMax)),
                            {"LIMIT_EXCEEDED", {{"limit", "checkpoints"}}});
  }
  store::CheckpointRecord record;
  record.job = request.source.job;
  record.id = id;
  record.step = request.step;
  record.epoch = request.epoch;
  record.attempt_epoch = request.source.attempt_epoch;
  record.digest = request.digest;
  record.files = request.files;
  for (const auto& file : record.files) record.size_bytes += file.size_bytes;
  record.accuracy_ratio = request.accuracy_ratio;
  record.metric_points = job.status().metric_points;
  record.create_time = tx.now().wall;
  const bool further =
      job.checkpoints.empty() || record.step > job.checkpoints.rbegin()->first.step;
  tx.Do(store::PutCheckpoint{record});
  if (further && job.status().failures_in_row > 0) {
    tx.UpdateStatus(job, [](store::JobStatus& status) { status.failures_in_row = 0; });
  }
  tx.sightings().attempts.at(job.record.sequence).progress_at = tx.now().steady;
  if (job.live()->stop == StopReason::kNone) SetAttemptTimer(tx, job);
  return Published{record, Retain(tx, job, id)};
}

absl::StatusOr<store::CheckpointRecord> GetCheckpoint(const cluster::Facts& facts,
                                                      const base::JobId& job,
                                                      const base::CheckpointId& checkpoint) {
  const Job* const found = facts.FindJob(job);
  const store::CheckpointRecord* const record =
      found != nullptr ? found->FindCheckpoint(checkpoint) : nullptr;
  if (record != nullptr) return *record;
  return base::WithReason(
      absl::NotFoundError(
          fmt::format("job {} has no checkpoint {}", job.value(), checkpoint.value())),
      {"CHECKPOINT_NOT_FOUND", {{"job", job.value()}, {"checkpoint", checkpoint.value()}}});
}

absl::StatusOr<store::CheckpointRecord> PinCheckpoint(Transaction& tx, const base::JobId& job,
                                                      const base::CheckpointId& checkpoint,
                                                      bool pinned) {
  ASSIGN_OR_RETURN(store::CheckpointRecord record, GetCheckpoint(tx.facts(), job, checkpoint));
  if (record.pinned != pinned) {
    record.pinned = pinned;
    tx.Do(store::PutCheckpoint{record});
  }
  return record;
}

absl::Status DeleteCheckpoint(Transaction& tx, const base::JobId& id,
                              const base::CheckpointId& checkpoint) {
  ASSIGN_OR_RETURN(const store::CheckpointRecord record, GetCheckpoint(tx.facts(), id, checkpoint));
  if (record.pinned) {
    return base::WithReason(
        absl::FailedPreconditionError(fmt::format(
            "checkpoint {} of job {} is pinned; unpin it first", checkpoint.value(), id.value())),
        {"CHECKPOINT_PINNED", {{"job", id.value()}, {"checkpoint", checkpoint.value()}}});
  }
  tx.Do(store::DeleteCheckpoint{id, checkpoint});
  const Job& job = *tx.facts().FindJob(id);
  if (job.status().result && job.status().result->checkpoint == checkpoint) {
    tx.UpdateStatus(job, [](store::JobStatus& status) { status.result->checkpoint = {}; });
  }
  return absl::OkStatus();
}

}  // namespace bsnn::commands
