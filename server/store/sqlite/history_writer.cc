#include "server/store/sqlite/history_writer.h"

#include <fmt/format.h>

#include <iterator>

#include "base/limits.h"
#include "base/status.h"

namespace bsnn::store {

enum HistoryWriter::Sql : size_t {
  kListSeries,
  kInsertSeries,
  kSetNewest,
  kPutPoint,
  kLastPoint,
  kInsertLine,
  kLastLine,
  kCountLines,
  kSetLines,
  kTrimLines,
  kKill,
  kBury,
  kDropPoints,
  kDropLines,
  kDropSeries,
  kDropHistory,
  kSqlCount,
};

namespace {

constexpr const char* kSql[] = {
    "SELECT id, name, layer, split, time_step, newest FROM series WHERE job = ?",
    "INSERT INTO series(job, name, layer, split, time_step) VALUES(?,?,?,?,?)",
    "UPDATE series SET newest = ?2 WHERE id = ?1",
    "INSERT OR REPLACE INTO points(job, arrival, series, step, epoch, value) VALUES(?,?,?,?,?,?)",
    "SELECT ifnull(max(arrival), 0) FROM points WHERE job = ?",
    ("INSERT INTO logs(job, arrival, time, attempt_epoch, severity, message) "
     "VALUES(?,?,?,?,?,?)"),
    "SELECT ifnull(max(arrival), 0) FROM logs WHERE job = ?",
    "SELECT ifnull(max(lines), 0) FROM histories WHERE job = ?",
    ("INSERT INTO histories(job, lines) VALUES(?1,?2) "
     "ON CONFLICT(job) DO UPDATE SET lines = ?2"),
    ("DELETE FROM logs WHERE job = ?1 AND arrival <= "
     "(SELECT arrival FROM logs WHERE job = ?1 ORDER BY arrival LIMIT 1 OFFSET ?2)"),
    "INSERT OR IGNORE INTO dead_jobs(job) VALUES(?)",
    "DELETE FROM dead_jobs WHERE job = ?",
    ("DELETE FROM points WHERE job = ?1 AND arrival <= ifnull("
     "(SELECT arrival FROM points WHERE job = ?1 ORDER BY arrival LIMIT 1 OFFSET ?2), 1 << 62)"),
    ("DELETE FROM logs WHERE job = ?1 AND arrival <= ifnull("
     "(SELECT arrival FROM logs WHERE job = ?1 ORDER BY arrival LIMIT 1 OFFSET ?2), 1 << 62)"),
    "DELETE FROM series WHERE job = ?",
    "DELETE FROM histories WHERE job = ?",
};

constexpr int64_t kSliceRows = 5'000;
constexpr size_t kCachedSeriesMax = 500'000;  // some 60 MB
constexpr size_t kCacheCost = 16;             // of a job beside its series, counted as series

}  // namespace

absl::StatusOr<std::unique_ptr<HistoryWriter>> HistoryWriter::Make(Database& database) {
  static_assert(std::size(kSql) == kSqlCount);
  auto writer = std::unique_ptr<HistoryWriter>(new HistoryWriter(database));
  for (const char* sql : kSql) {
    ASSIGN_OR_RETURN(Statement statement, database.Prepare(sql));
    writer->statements_.push_back(std::move(statement));
  }
  ASSIGN_OR_RETURN(Statement dead, database.Prepare("SELECT job FROM dead_jobs"));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, dead.Step());
    if (!more) return writer;
    writer->dead_jobs_.push_back(dead.Integer(0));
  }
}

Statement& HistoryWriter::Use(Sql sql) { return statements_[sql]; }

absl::StatusOr<int64_t> HistoryWriter::Ask(Sql sql, int64_t job) {
  Statement& statement = Use(sql).Bind(job);
  RETURN_IF_ERROR(statement.Step().status());
  const int64_t answer = statement.Integer(0);
  statement.Reset();
  return answer;
}

namespace {

void SetKey(std::string& key, std::string_view name, std::string_view layer, std::string_view split,
            int64_t time_step) {
  key.assign(name).append(1, '\0').append(layer).append(1, '\0').append(split).append(1, '\0');
  key.append(reinterpret_cast<const char*>(&time_step), sizeof(time_step));
}

}  // namespace

absl::Status HistoryWriter::ReadCache(int64_t job, JobCache& cache) {
  Statement& list = Use(kListSeries).Bind(job);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, list.Step());
    if (!more) break;
    SetKey(key_, list.View(1), list.View(2), list.View(3), list.Integer(4));
    cache.series[key_] = {list.Integer(0), list.Integer(5)};
  }
  ASSIGN_OR_RETURN(cache.last_point, Ask(kLastPoint, job));
  ASSIGN_OR_RETURN(cache.last_line, Ask(kLastLine, job));
  ASSIGN_OR_RETURN(cache.lines, Ask(kCountLines, job));
  return absl::OkStatus();
}

absl::StatusOr<HistoryWriter::JobCache*> HistoryWriter::CacheOf(int64_t job) {
  if (const auto found = caches_.find(job); found != caches_.end()) {
    recent_.splice(recent_.end(), recent_, found->second.recent);
    return &found->second;
  }
  JobCache cache;
  RETURN_IF_ERROR(ReadCache(job, cache));
  cached_series_ += cache.series.size() + kCacheCost;
  while (cached_series_ > kCachedSeriesMax && !recent_.empty()) Forget(recent_.front());
  cache.recent = recent_.insert(recent_.end(), job);
  return &(caches_[job] = std::move(cache));
}

void HistoryWriter::Forget(int64_t job) {
  const auto found = caches_.find(job);
  if (found == caches_.end()) return;
  cached_series_ -= found->second.series.size() + kCacheCost;
  recent_.erase(found->second.recent);
  caches_.erase(found);
}

absl::StatusOr<HistoryWriter::Series*> HistoryWriter::SeriesOf(int64_t job, JobCache& cache,
                                                               const spec::MetricPoint& point) {
  SetKey(key_, point.name, point.layer, point.split, point.time_step);
  const auto [found, is_new] = cache.series.try_emplace(key_);
  if (!is_new) return &found->second;
  ++cached_series_;
  RETURN_IF_ERROR(Use(kInsertSeries)
                      .Bind(job)
                      .Bind(point.name)
                      .Bind(point.layer)
                      .Bind(point.split)
                      .Bind(int64_t{point.time_step})
                      .Run());
  found->second.id = database_.LastInsertId();
  return &found->second;
}

absl::Status HistoryWriter::AppendPoints(int64_t job, std::span<const spec::MetricPoint> points) {
  ASSIGN_OR_RETURN(JobCache* const cache, CacheOf(job));
  std::vector<Series*> touched;
  const int64_t first = cache->last_point + 1;
  for (const spec::MetricPoint& point : points) {
    ASSIGN_OR_RETURN(Series* const series, SeriesOf(job, *cache, point));
    if (series->newest < first) touched.push_back(series);
    series->newest = ++cache->last_point;
    RETURN_IF_ERROR(Use(kPutPoint)
                        .Bind(job)
                        .Bind(series->newest)
                        .Bind(series->id)
                        .Bind(point.step)
                        .Bind(int64_t{point.epoch})
                        .Bind(point.value)
                        .Run());
  }
  for (const Series* series : touched) {
    RETURN_IF_ERROR(Use(kSetNewest).Bind(series->id).Bind(series->newest).Run());
  }
  return absl::OkStatus();
}

absl::Status HistoryWriter::AppendLines(int64_t job, std::span<const LogRecord> lines) {
  ASSIGN_OR_RETURN(JobCache* const cache, CacheOf(job));
  for (const LogRecord& line : lines) {
    RETURN_IF_ERROR(Use(kInsertLine)
                        .Bind(job)
                        .Bind(++cache->last_line)
                        .Bind(absl::ToUnixNanos(line.time))
                        .Bind(int64_t{line.attempt_epoch})
                        .Bind(static_cast<int64_t>(line.severity))
                        .Bind(line.message)
                        .Run());
  }
  cache->lines += std::ssize(lines);
  const int64_t beyond = cache->lines - base::kLogLinesPerJobMax;
  if (beyond > 0) {
    cache->lines -= beyond;
    RETURN_IF_ERROR(Use(kTrimLines).Bind(job).Bind(beyond - 1).Run());
  }
  return Use(kSetLines).Bind(job).Bind(cache->lines).Run();
}

absl::Status HistoryWriter::Drop(int64_t job) {
  Forget(job);
  dead_jobs_.push_back(job);
  return Use(kKill).Bind(job).Run();
}

absl::Status HistoryWriter::DropSlice() {
  const int64_t job = dead_jobs_.back();
  RETURN_IF_ERROR(Use(kDropPoints).Bind(job).Bind(kSliceRows - 1).Run());
  if (database_.RowsChanged() == kSliceRows) return absl::OkStatus();
  RETURN_IF_ERROR(Use(kDropLines).Bind(job).Bind(kSliceRows - 1).Run());
  if (database_.RowsChanged() == kSliceRows) return absl::OkStatus();
  for (const Sql sql : {kDropSeries, kDropHistory, kBury}) {
    RETURN_IF_ERROR(Use(sql).Bind(job).Run());
  }
  dead_jobs_.pop_back();
  return absl::OkStatus();
}

}  // namespace bsnn::store
