#include "server/store/sqlite/mutations.h"

#include <fmt/format.h>

#include <iterator>

#include "base/limits.h"
#include "base/status.h"
#include "server/store/sqlite/codec.h"

namespace bsnn::store {

// `arrival` is AUTOINCREMENT so that a number is never given twice: it is the cursor of readers.
const char* Schema() {
  return R"(
CREATE TABLE IF NOT EXISTS jobs(
  sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, fixed TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS last_sequence(value INTEGER NOT NULL);
INSERT INTO last_sequence SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM last_sequence);
CREATE TABLE IF NOT EXISTS retired(
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, newest_epoch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS attempts(
  job INTEGER NOT NULL, epoch INTEGER NOT NULL, record TEXT NOT NULL,
  PRIMARY KEY(job, epoch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoints(
  job INTEGER NOT NULL, id TEXT NOT NULL, attempt_epoch INTEGER NOT NULL, step INTEGER NOT NULL,
  record TEXT NOT NULL, PRIMARY KEY(job, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers(id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series(
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, name TEXT NOT NULL, layer TEXT NOT NULL,
  split TEXT NOT NULL, time_step INTEGER NOT NULL, newest INTEGER NOT NULL DEFAULT 0,
  UNIQUE(job, name, layer, split, time_step));
CREATE TABLE IF NOT EXISTS points(
  arrival INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL, series INTEGER NOT NULL,
  step INTEGER NOT NULL, epoch INTEGER NOT NULL, value REAL, UNIQUE(series, step));
CREATE INDEX IF NOT EXISTS points_by_job ON points(job, arrival);
CREATE TABLE IF NOT EXISTS logs(
  arrival INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL, time INTEGER NOT NULL,
  attempt_epoch INTEGER NOT NULL, severity INTEGER NOT NULL, message TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS logs_by_job ON logs(job, arrival);
)";
}

enum Mutations::Sql : size_t {
  kInsertJob,
  kSetLastSequence,
  kUpdateJob,
  kFindJob,
  kDeleteJob,
  kDeleteAttempts,
  kDeleteCheckpoints,
  kDeleteSeries,
  kDeletePoints,
  kDeleteLogs,
  kRetire,
  kForgetRetired,
  kTrimRetired,
  kPutAttempt,
  kPutCheckpoint,
  kDeleteCheckpoint,
  kPutWorker,
  kDeleteWorker,
  kListSeries,
  kInsertSeries,
  kSetNewest,
  kPutPoint,
  kInsertLog,
  kCountLogs,
  kTrimLogs,
  kSqlCount,
};

namespace {

constexpr const char* kSql[] = {
    "INSERT INTO jobs(sequence, id, fixed, status) VALUES(?,?,?,?)",
    "UPDATE last_sequence SET value = ?",
    "UPDATE jobs SET status = ?2 WHERE id = ?1",
    "SELECT sequence FROM jobs WHERE id = ?",
    "DELETE FROM jobs WHERE sequence = ?",
    "DELETE FROM attempts WHERE job = ?",
    "DELETE FROM checkpoints WHERE job = ?",
    "DELETE FROM series WHERE job = ?",
    "DELETE FROM points WHERE job = ?",
    "DELETE FROM logs WHERE job = ?",
    "INSERT OR REPLACE INTO retired(id, newest_epoch) VALUES(?,?)",
    "DELETE FROM retired WHERE id = ?",
    "DELETE FROM retired WHERE number <= ?",
    "INSERT OR REPLACE INTO attempts(job, epoch, record) VALUES(?,?,?)",
    "INSERT OR REPLACE INTO checkpoints(job, id, attempt_epoch, step, record) VALUES(?,?,?,?,?)",
    "DELETE FROM checkpoints WHERE job = ? AND id = ?",
    "INSERT OR REPLACE INTO workers(id, record) VALUES(?,?)",
    "DELETE FROM workers WHERE id = ?",
    "SELECT id, name, layer, split, time_step FROM series WHERE job = ?",
    "INSERT INTO series(job, name, layer, split, time_step) VALUES(?,?,?,?,?)",
    "UPDATE series SET newest = ?2 WHERE id = ?1",
    "INSERT OR REPLACE INTO points(job, series, step, epoch, value) VALUES(?,?,?,?,?)",
    "INSERT INTO logs(job, time, attempt_epoch, severity, message) VALUES(?,?,?,?,?)",
    "SELECT count(*) FROM logs WHERE job = ?",
    ("DELETE FROM logs WHERE arrival IN "
     "(SELECT arrival FROM logs WHERE job = ? ORDER BY arrival LIMIT ?)"),
};

}  // namespace

absl::StatusOr<std::unique_ptr<Mutations>> Mutations::Make(Database& database) {
  static_assert(std::size(kSql) == kSqlCount);
  auto mutations = std::unique_ptr<Mutations>(new Mutations(database));
  for (const char* sql : kSql) {
    ASSIGN_OR_RETURN(Statement statement, database.Prepare(sql));
    mutations->statements_.push_back(std::move(statement));
  }
  return mutations;
}

Statement& Mutations::Use(Sql sql) { return statements_[sql]; }

absl::Status Mutations::Apply(const Mutation& mutation) {
  return std::visit([this](const auto& change) { return Write(change); }, mutation);
}

absl::StatusOr<int64_t> Mutations::SequenceOf(const base::JobId& job) {
  Statement& find = Use(kFindJob).Bind(job.value());
  ASSIGN_OR_RETURN(const bool found, find.Step());
  if (!found) return absl::InternalError(fmt::format("database: no job {}", job.value()));
  const int64_t sequence = find.Integer(0);
  find.Reset();
  return sequence;
}

absl::Status Mutations::Write(const CreateJob& change) {
  const JobRecord& job = change.job;
  RETURN_IF_ERROR(Use(kInsertJob)
                      .Bind(job.sequence)
                      .Bind(job.id.value())
                      .Bind(ToText(job))
                      .Bind(ToText(job.status))
                      .Run());
  RETURN_IF_ERROR(Use(kForgetRetired).Bind(job.id.value()).Run());
  return Use(kSetLastSequence).Bind(job.sequence).Run();
}

absl::Status Mutations::Write(const UpdateJob& change) {
  return Use(kUpdateJob).Bind(change.job.value()).Bind(ToText(change.status)).Run();
}

absl::Status Mutations::Write(const DeleteJob& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  for (const Sql sql : {kDeleteJob, kDeleteAttempts, kDeleteCheckpoints, kDeleteSeries,
                        kDeletePoints, kDeleteLogs}) {
    RETURN_IF_ERROR(Use(sql).Bind(job).Run());
  }
  caches_.erase(job);
  if (change.newest_epoch == 0) return absl::OkStatus();
  RETURN_IF_ERROR(Use(kRetire).Bind(change.job.value()).Bind(int64_t{change.newest_epoch}).Run());
  return Use(kTrimRetired).Bind(database_.LastInsertId() - base::kRetiredIdsMax).Run();
}

absl::Status Mutations::Write(const PutAttempt& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  return Use(kPutAttempt)
      .Bind(job)
      .Bind(int64_t{change.attempt.epoch})
      .Bind(ToText(change.attempt))
      .Run();
}

absl::Status Mutations::Write(const PutCheckpoint& change) {
  const CheckpointRecord& checkpoint = change.checkpoint;
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(checkpoint.job));
  return Use(kPutCheckpoint)
      .Bind(job)
      .Bind(checkpoint.id.value())
      .Bind(int64_t{checkpoint.attempt_epoch})
      .Bind(checkpoint.step)
      .Bind(ToText(checkpoint))
      .Run();
}

absl::Status Mutations::Write(const DeleteCheckpoint& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  return Use(kDeleteCheckpoint).Bind(job).Bind(change.checkpoint.value()).Run();
}

absl::Status Mutations::Write(const PutWorker& change) {
  return Use(kPutWorker).Bind(change.worker.id.value()).Bind(ToText(change.worker)).Run();
}

absl::Status Mutations::Write(const DeleteWorker& change) {
  return Use(kDeleteWorker).Bind(change.worker.value()).Run();
}

absl::StatusOr<Mutations::JobCache*> Mutations::CacheOf(int64_t job) {
  constexpr size_t kCachesMax = 256;
  if (const auto found = caches_.find(job); found != caches_.end()) return &found->second;
  if (caches_.size() >= kCachesMax) caches_.clear();
  JobCache cache;
  Statement& list = Use(kListSeries).Bind(job);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, list.Step());
    if (!more) break;
    cache
        .series[{list.Text(1), list.Text(2), list.Text(3), static_cast<int32_t>(list.Integer(4))}] =
        list.Integer(0);
  }
  Statement& count = Use(kCountLogs).Bind(job);
  RETURN_IF_ERROR(count.Step().status());
  cache.lines = count.Integer(0);
  count.Reset();
  return &(caches_[job] = std::move(cache));
}

absl::StatusOr<int64_t> Mutations::SeriesOf(int64_t job, const spec::MetricPoint& point) {
  ASSIGN_OR_RETURN(JobCache* const cache, CacheOf(job));
  int64_t& id = cache->series[{point.name, point.layer, point.split, point.time_step}];
  if (id != 0) return id;
  RETURN_IF_ERROR(Use(kInsertSeries)
                      .Bind(job)
                      .Bind(point.name)
                      .Bind(point.layer)
                      .Bind(point.split)
                      .Bind(int64_t{point.time_step})
                      .Run());
  return id = database_.LastInsertId();
}

absl::Status Mutations::Write(const AppendMetrics& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  std::map<int64_t, int64_t> newest;
  for (const spec::MetricPoint& point : change.points) {
    ASSIGN_OR_RETURN(const int64_t series, SeriesOf(job, point));
    RETURN_IF_ERROR(Use(kPutPoint)
                        .Bind(job)
                        .Bind(series)
                        .Bind(point.step)
                        .Bind(int64_t{point.epoch})
                        .Bind(point.value)
                        .Run());
    newest[series] = database_.LastInsertId();
  }
  for (const auto& [series, arrival] : newest) {
    RETURN_IF_ERROR(Use(kSetNewest).Bind(series).Bind(arrival).Run());
  }
  return absl::OkStatus();
}

absl::Status Mutations::Write(const AppendLogs& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  ASSIGN_OR_RETURN(JobCache* const cache, CacheOf(job));
  for (const LogRecord& line : change.lines) {
    RETURN_IF_ERROR(Use(kInsertLog)
                        .Bind(job)
                        .Bind(absl::ToUnixNanos(line.time))
                        .Bind(int64_t{line.attempt_epoch})
                        .Bind(static_cast<int64_t>(line.severity))
                        .Bind(line.message)
                        .Run());
  }
  cache->lines += std::ssize(change.lines);
  const int64_t beyond = cache->lines - base::kLogLinesPerJobMax;
  if (beyond <= 0) return absl::OkStatus();
  cache->lines = base::kLogLinesPerJobMax;
  return Use(kTrimLogs).Bind(job).Bind(beyond).Run();
}

}  // namespace bsnn::store
