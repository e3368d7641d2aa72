#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/scheduler/core.h"
#include "server/scheduler/scheduler.h"

namespace bsnn::scheduler {
namespace {

absl::Status NoCheckpoint(const base::JobId& job, const base::CheckpointId& id) {
  return base::WithReason(
      absl::NotFoundError(fmt::format("job {} has no checkpoint {}", job.value(), id.value())),
      {"CHECKPOINT_NOT_FOUND", {{"job", job.value()}, {"checkpoint", id.value()}}});
}

}  // namespace

base::CheckpointId Scheduler::CheckpointIdOf(int32_t attempt_epoch, int64_t step) {
  auto id = base::CheckpointId::Make(fmt::format("a{}-step-{:08}", attempt_epoch, step));
  BSNN_CHECK(id.ok());
  return *std::move(id);
}

store::CheckpointRecord* Core::FindCheckpoint(Job& job, const base::CheckpointId& id) {
  for (auto& [at, record] : job.checkpoints) {
    if (record.id == id) return &record;
  }
  return nullptr;
}
const store::CheckpointRecord* Core::FindCheckpoint(const Job& job, const base::CheckpointId& id) {
  return FindCheckpoint(const_cast<Job&>(job), id);
}

absl::Status Core::CheckUpload(const UploadSource& source) const {
  ASSIGN_OR_RETURN(const Job* const job, Get(source.job));
  const store::AttemptRecord* live = job->live();
  if (live != nullptr && live->epoch == source.attempt_epoch && live->worker == source.worker) {
    return absl::OkStatus();
  }
  return base::WithReason(absl::FailedPreconditionError(fmt::format(
                              "attempt {} of job {} on worker {} is not live", source.attempt_epoch,
                              source.job.value(), source.worker.value())),
                          {"ATTEMPT_FENCED", {{"job", source.job.value()}}});
}

absl::StatusOr<Published> Core::RecordCheckpoint(Instant now, const PublishRequest& request) {
  RETURN_IF_ERROR(CheckUpload(request.source));
  Job& job = *Find(request.source.job);
  const base::CheckpointId id =
      Scheduler::CheckpointIdOf(request.source.attempt_epoch, request.step);
  if (const auto* held = FindCheckpoint(job, id)) {
    if (held->digest == request.digest) return Published{*held, {}};
    return base::WithReason(
        absl::AlreadyExistsError(fmt::format("checkpoint {} of job {} has digest {}", id.value(),
                                             request.source.job.value(), held->digest)),
        {"CHECKPOINT_ID_TAKEN", {{"checkpoint", id.value()}}});
  }
  if (std::ssize(job.checkpoints) >= base::kCheckpointsPerJobMax) {
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
  record.create_time = now.wall;
  ++counters_.checkpoints;
  counters_.checkpoint_bytes += record.size_bytes;
  job.checkpoints[{record.step, record.attempt_epoch}] = record;
  Write(job, store::PutCheckpoint{record});
  Published published{record, Retain(job, id)};
  return published;
}

std::vector<base::CheckpointId> Core::Retain(Job& job, const base::CheckpointId& newest) {
  const spec::CheckpointSpec& rule = job.record.spec->checkpoint;
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
  std::vector<base::CheckpointId> removed;
  for (auto item = job.checkpoints.begin(); item != job.checkpoints.end();) {
    if (keep.contains(item->first)) {
      ++item;
      continue;
    }
    removed.push_back(item->second.id);
    Write(job, store::DeleteCheckpoint{job.record.id, item->second.id});
    item = job.checkpoints.erase(item);
  }
  return removed;
}

absl::StatusOr<store::CheckpointRecord> Core::GetCheckpoint(const base::JobId& job,
                                                            const base::CheckpointId& id) const {
  const Job* found = Find(job);
  const store::CheckpointRecord* record = found ? FindCheckpoint(*found, id) : nullptr;
  if (record == nullptr) return NoCheckpoint(job, id);
  return *record;
}

absl::StatusOr<CheckpointsPage> Core::ListCheckpoints(const base::JobId& id,
                                                      std::optional<CheckpointCursor> after,
                                                      int limit) const {
  ASSIGN_OR_RETURN(const Job* const job, Get(id));
  CheckpointsPage page;
  auto item = after ? job->checkpoints.lower_bound(*after) : job->checkpoints.end();
  while (item != job->checkpoints.begin()) {
    --item;
    if (std::ssize(page.checkpoints) == limit) {
      const auto& last = page.checkpoints.back();
      page.next = CheckpointCursor{last.step, last.attempt_epoch};
      break;
    }
    page.checkpoints.push_back(item->second);
  }
  return page;
}

absl::StatusOr<store::CheckpointRecord> Core::PinCheckpoint(const base::JobId& id,
                                                            const base::CheckpointId& checkpoint,
                                                            bool pinned) {
  Job* const job = Find(id);
  store::CheckpointRecord* record = job ? FindCheckpoint(*job, checkpoint) : nullptr;
  if (record == nullptr) return NoCheckpoint(id, checkpoint);
  if (record->pinned != pinned) {
    record->pinned = pinned;
    Write(*job, store::PutCheckpoint{*record});
  }
  return *record;
}

absl::StatusOr<Nothing> Core::DeleteCheckpoint(const base::JobId& id,
                                               const base::CheckpointId& checkpoint) {
  Job* const job = Find(id);
  const store::CheckpointRecord* record = job ? FindCheckpoint(*job, checkpoint) : nullptr;
  if (record == nullptr) return NoCheckpoint(id, checkpoint);
  if (record->pinned) {
    return base::WithReason(
        absl::FailedPreconditionError(fmt::format(
            "checkpoint {} of job {} is pinned; unpin it first", checkpoint.value(), id.value())),
        {"CHECKPOINT_PINNED", {{"job", id.value()}, {"checkpoint", checkpoint.value()}}});
  }
  Write(*job, store::DeleteCheckpoint{id, checkpoint});
  job->checkpoints.erase({record->step, record->attempt_epoch});
  return Nothing();
}

}  // namespace bsnn::scheduler
