#include "server/store/sqlite/histories.h"

#include <algorithm>
#include <map>

#include "base/limits.h"
#include "base/status.h"
#include "server/store/sqlite/codec.h"

namespace bsnn::store {
namespace {

/// Calls `take(statement)` for each row.
template <class Take>
absl::Status ForEach(Statement& statement, Take&& take) {
  while (true) {
    ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return absl::OkStatus();
    RETURN_IF_ERROR(take(statement));
  }
}

/// Columns: name, layer, split, time_step, step, epoch, value from `first` on.
spec::MetricPoint PointAt(const Statement& row, int first) {
  spec::MetricPoint point;
  point.name = row.Text(first);
  point.layer = row.Text(first + 1);
  point.split = row.Text(first + 2);
  point.time_step = static_cast<int32_t>(row.Integer(first + 3));
  point.step = row.Integer(first + 4);
  point.epoch = static_cast<int32_t>(row.Integer(first + 5));
  point.value = row.Number(first + 6);
  return point;
}

absl::Status LoadAttempts(Database& database, std::map<int64_t, LoadedJob>& jobs) {
  ASSIGN_OR_RETURN(Statement rows,
                   database.Prepare("SELECT job, record FROM attempts ORDER BY job, epoch"));
  return ForEach(rows, [&](const Statement& row) -> absl::Status {
    ASSIGN_OR_RETURN(AttemptRecord attempt, ReadAttempt(row.Text(1)));
    auto& attempts = jobs[row.Integer(0)].attempts;
    if (attempts.size() == base::kAttemptsShownMax) attempts.erase(attempts.begin());
    attempts.push_back(std::move(attempt));
    return absl::OkStatus();
  });
}

absl::Status LoadCheckpoints(Database& database, std::map<int64_t, LoadedJob>& jobs) {
  ASSIGN_OR_RETURN(
      Statement rows,
      database.Prepare("SELECT job, record FROM checkpoints ORDER BY job, attempt_epoch, step"));
  return ForEach(rows, [&](const Statement& row) -> absl::Status {
    ASSIGN_OR_RETURN(CheckpointRecord checkpoint, ReadCheckpoint(row.Text(1)));
    jobs[row.Integer(0)].checkpoints.push_back(std::move(checkpoint));
    return absl::OkStatus();
  });
}

absl::Status LoadLatest(Database& database, int64_t sequence, LoadedJob& job) {
  ASSIGN_OR_RETURN(
      Statement rows,
      database.Prepare("SELECT name, layer, split, time_step, p.step, p.epoch, p.value FROM series "
                       "s JOIN points p ON p.arrival = s.newest WHERE s.job = ? ORDER BY s.id"));
  return ForEach(rows.Bind(sequence), [&](const Statement& row) {
    job.latest.push_back(PointAt(row, 0));
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<LoadedState> Load(Database& database) {
  std::map<int64_t, LoadedJob> jobs;
  LoadedState state;
  {
    ASSIGN_OR_RETURN(Statement rows, database.Prepare("SELECT sequence, fixed, status FROM jobs"));
    RETURN_IF_ERROR(ForEach(rows, [&](const Statement& row) -> absl::Status {
      ASSIGN_OR_RETURN(jobs[row.Integer(0)].job, ReadJob(row.Text(1), row.Text(2)));
      return absl::OkStatus();
    }));
  }
  RETURN_IF_ERROR(LoadAttempts(database, jobs));
  RETURN_IF_ERROR(LoadCheckpoints(database, jobs));
  for (auto& [sequence, job] : jobs) {
    if (job.job.status.state < JobState::kSucceeded) {
      RETURN_IF_ERROR(LoadLatest(database, sequence, job));
    }
    state.jobs.push_back(std::move(job));
  }
  {
    ASSIGN_OR_RETURN(Statement rows, database.Prepare("SELECT record FROM workers ORDER BY id"));
    RETURN_IF_ERROR(ForEach(rows, [&](const Statement& row) -> absl::Status {
      ASSIGN_OR_RETURN(WorkerRecord worker, ReadWorker(row.Text(0)));
      state.workers.push_back(std::move(worker));
      return absl::OkStatus();
    }));
  }
  {
    ASSIGN_OR_RETURN(Statement rows,
                     database.Prepare("SELECT id, newest_epoch FROM retired ORDER BY number"));
    RETURN_IF_ERROR(ForEach(rows, [&](const Statement& row) -> absl::Status {
      ASSIGN_OR_RETURN(base::JobId id, base::JobId::Make(row.Text(0)));
      state.retired.push_back({std::move(id), static_cast<int32_t>(row.Integer(1))});
      return absl::OkStatus();
    }));
  }
  ASSIGN_OR_RETURN(Statement last, database.Prepare("SELECT value FROM last_sequence"));
  RETURN_IF_ERROR(last.Step().status());
  state.last_sequence = last.Integer(0);
  return state;
}

absl::StatusOr<MetricsPage> ReadMetrics(Database& database, const base::JobId& job,
                                        const MetricsQuery& query) {
  ASSIGN_OR_RETURN(
      Statement rows,
      database.Prepare(
          "SELECT p.arrival, s.name, s.layer, s.split, s.time_step, p.step, p.epoch, p.value "
          "FROM points p JOIN series s ON s.id = p.series "
          "WHERE p.job = (SELECT sequence FROM jobs WHERE id = ?1) AND p.arrival > ?2 "
          "AND (?3 = '' OR s.name = ?3) AND (?4 = '' OR s.layer = ?4) "
          "ORDER BY p.arrival LIMIT ?5"));
  rows.Bind(job.value()).Bind(query.after).Bind(query.name).Bind(query.layer);
  rows.Bind(int64_t{query.limit} + 1);
  MetricsPage page;
  page.cursor = query.after;
  RETURN_IF_ERROR(ForEach(rows, [&](const Statement& row) {
    page.more = std::ssize(page.points) == query.limit;
    if (page.more) return absl::OkStatus();
    page.cursor = row.Integer(0);
    page.points.push_back(PointAt(row, 1));
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<LogsPage> ReadLogs(Database& database, const base::JobId& job,
                                  const LogsQuery& query) {
  int64_t after = query.after;
  if (after == 0 && query.tail > 0) {
    ASSIGN_OR_RETURN(
        Statement place,
        database.Prepare("SELECT arrival FROM logs WHERE job = (SELECT sequence FROM jobs WHERE "
                         "id = ?) ORDER BY arrival DESC LIMIT 1 OFFSET ?"));
    ASSIGN_OR_RETURN(const bool found, place.Bind(job.value()).Bind(int64_t{query.tail}).Step());
    if (found) after = place.Integer(0);
  }
  ASSIGN_OR_RETURN(
      Statement rows,
      database.Prepare("SELECT arrival, time, attempt_epoch, severity, message FROM logs WHERE job "
                       "= (SELECT sequence FROM jobs WHERE id = ?) AND arrival > ? ORDER BY "
                       "arrival LIMIT ?"));
  rows.Bind(job.value()).Bind(after).Bind(int64_t{query.limit} + 1);
  LogsPage page;
  page.cursor = query.after;
  RETURN_IF_ERROR(ForEach(rows, [&](const Statement& row) {
    page.more = std::ssize(page.lines) == query.limit;
    if (page.more) return absl::OkStatus();
    page.cursor = row.Integer(0);
    page.lines.push_back({absl::FromUnixNanos(row.Integer(1)), static_cast<int32_t>(row.Integer(2)),
                          static_cast<spec::Severity>(row.Integer(3)), row.Text(4)});
    return absl::OkStatus();
  }));
  return page;
}

}  // namespace bsnn::store
