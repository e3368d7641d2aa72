#include "server/store/sqlite/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/limits.h"
#include "base/status.h"
#include "server/store/sqlite/codec.h"
#include "spec/shared_spec.h"

// Jobs, attempts and checkpoints are each read once in the order of the jobs' sequence, and merged.
namespace bsnn::store {
namespace {

/// Calls `take(row)` for each row of `sql`.
template <class Take>
absl::Status ForEach(Database& database, const char* sql, Take&& take) {
  ASSIGN_OR_RETURN(Statement rows, database.Prepare(sql));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return absl::OkStatus();
    RETURN_IF_ERROR(take(rows));
  }
}

absl::Status Named(const absl::Status& status, std::string_view noun, std::string_view id) {
  return absl::DataLossError(fmt::format(
      "{} {}: {}; restore the data folder from a backup, or run the program that wrote it", noun,
      id, std::string(status.message())));
}

class Loader {
 public:
  explicit Loader(Database& database) : database_(database) {}

  absl::StatusOr<LoadedState> Load() {
    RETURN_IF_ERROR(LoadJobs());
    RETURN_IF_ERROR(LoadAttempts());
    RETURN_IF_ERROR(LoadCheckpoints());
    RETURN_IF_ERROR(LoadLatest());
    RETURN_IF_ERROR(LoadWorkers());
    RETURN_IF_ERROR(LoadRetired());
    return std::move(state_);
  }

 private:
  absl::Status LoadJobs() {
    RETURN_IF_ERROR(ForEach(database_, "SELECT count(*) FROM jobs", [this](Statement& row) {
      state_.jobs.reserve(static_cast<size_t>(row.Integer(0)));
      return absl::OkStatus();
    }));
    return ForEach(database_,
                   "SELECT sequence, id, spec, fixed, status FROM jobs ORDER BY sequence",
                   [this](Statement& row) { return AddJob(row); });
  }

  absl::Status AddJob(const Statement& row) {
    auto job = DecodeJob(row.View(3));
    if (!job.ok()) return Named(job.status(), "job", row.View(1));
    auto status = DecodeStatus(row.View(4));
    if (!status.ok()) return Named(status.status(), "job", row.View(1));
    auto id = base::JobId::Make(row.View(1));
    if (!id.ok()) return Named(id.status(), "job", row.View(1));
    auto spec = SpecOf(row.View(2));
    if (!spec.ok()) return Named(spec.status(), "job", row.View(1));
    job->sequence = row.Integer(0);
    job->id = *std::move(id);
    job->spec = *std::move(spec);
    job->status = *std::move(status);
    state_.jobs.emplace_back().job = *std::move(job);
    return absl::OkStatus();
  }

  /// Equal specs are shared.
  absl::StatusOr<spec::SharedSpec> SpecOf(std::string_view packed) {
    const auto found = specs_.find(packed);
    if (found != specs_.end()) return found->second;
    ASSIGN_OR_RETURN(const auto spec, spec::SharedSpec::FromPacked(packed));
    specs_.emplace(spec.packed(), spec);
    return spec;
  }

  /// Calls `take(job, row)` for each row of `sql`, whose column 0 is the job's sequence, growing.
  template <class Take>
  absl::Status MergeWithJobs(const char* sql, Take&& take) {
    auto job = state_.jobs.begin();
    return ForEach(database_, sql, [&](Statement& row) {
      const int64_t sequence = row.Integer(0);
      while (job != state_.jobs.end() && job->job.sequence < sequence) ++job;
      if (job == state_.jobs.end() || job->job.sequence != sequence) {
        return absl::Status(absl::DataLossError(
            fmt::format("database: no job of sequence {}, and yet records of it", sequence)));
      }
      return take(*job, row);
    });
  }

  absl::Status LoadAttempts() {
    return MergeWithJobs("SELECT job, record FROM attempts ORDER BY job, epoch",
                         [](LoadedJob& job, const Statement& row) {
                           auto attempt = DecodeAttempt(row.View(1));
                           if (!attempt.ok())
                             return Named(attempt.status(), "job", job.job.id.value());
                           if (job.attempts.size() == base::kAttemptsShownMax) {
                             job.attempts.erase(job.attempts.begin());
                           }
                           job.attempts.push_back(*std::move(attempt));
                           return absl::OkStatus();
                         });
  }

  absl::Status LoadCheckpoints() {
    RETURN_IF_ERROR(MergeWithJobs("SELECT job, record FROM checkpoints ORDER BY job",
                                  [](LoadedJob& job, const Statement& row) {
                                    auto checkpoint = DecodeCheckpoint(row.View(1));
                                    if (!checkpoint.ok())
                                      return Named(checkpoint.status(), "job", job.job.id.value());
                                    checkpoint->job = job.job.id;
                                    job.checkpoints.push_back(*std::move(checkpoint));
                                    return absl::OkStatus();
                                  }));
    for (LoadedJob& job : state_.jobs) {
      std::sort(job.checkpoints.begin(), job.checkpoints.end(),
                [](const CheckpointRecord& a, const CheckpointRecord& b) {
                  return std::tie(a.attempt_epoch, a.step) < std::tie(b.attempt_epoch, b.step);
                });
    }
    return absl::OkStatus();
  }

  /// A job that was never placed has no points.
  absl::Status LoadLatest() {
    ASSIGN_OR_RETURN(
        Statement rows,
        database_.Prepare(
            "SELECT name, layer, split, time_step, p.step, p.epoch, p.value FROM series s JOIN "
            "points p ON p.job = s.job AND p.arrival = s.newest WHERE s.job = ? ORDER BY s.id"));
    for (LoadedJob& job : state_.jobs) {
      const JobStatus& status = job.job.status;
      if (status.state >= JobState::kSucceeded || status.metric_points == 0) continue;
      rows.Bind(job.job.sequence);
      while (true) {
        ASSIGN_OR_RETURN(const bool more, rows.Step());
        if (!more) break;
        job.latest.push_back({rows.Text(0), rows.Text(1), rows.Text(2),
                              static_cast<int32_t>(rows.Integer(3)), rows.Integer(4),
                              static_cast<int32_t>(rows.Integer(5)), rows.Number(6)});
      }
    }
    return absl::OkStatus();
  }

  absl::Status LoadWorkers() {
    return ForEach(database_, "SELECT id, record FROM workers ORDER BY id", [this](Statement& row) {
      auto worker = DecodeWorker(row.View(1));
      if (!worker.ok()) return Named(worker.status(), "worker", row.View(0));
      state_.workers.push_back(*std::move(worker));
      return absl::OkStatus();
    });
  }

  absl::Status LoadRetired() {
    RETURN_IF_ERROR(
        ForEach(database_, "SELECT id, newest_epoch FROM retired ORDER BY number",
                [this](Statement& row) -> absl::Status {
                  ASSIGN_OR_RETURN(base::JobId id, base::JobId::Make(row.View(0)));
                  state_.retired.push_back({std::move(id), static_cast<int32_t>(row.Integer(1))});
                  return absl::OkStatus();
                }));
    return ForEach(database_, "SELECT value FROM last_sequence", [this](Statement& row) {
      state_.last_sequence = row.Integer(0);
      return absl::OkStatus();
    });
  }

  Database& database_;
  LoadedState state_;
  std::unordered_map<std::string_view, spec::SharedSpec> specs_;  // by their packed forms
};

}  // namespace

absl::StatusOr<LoadedState> Load(Database& database) { return Loader(database).Load(); }

}  // namespace bsnn::store
