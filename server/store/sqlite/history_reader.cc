#include "server/store/sqlite/history_reader.h"

#include <unordered_map>

#include "base/status.h"

namespace bsnn::store {
namespace {

/// Points that one filtered page looks at: some 30 ms.
constexpr int kPointsLookedAtMax = 100'000;

/// The job's sequence, 0 where there is none.
absl::StatusOr<int64_t> SequenceOf(Database& database, const base::JobId& job) {
  ASSIGN_OR_RETURN(Statement find, database.Prepare("SELECT sequence FROM jobs WHERE id = ?"));
  ASSIGN_OR_RETURN(const bool found, find.Bind(job.value()).Step());
  return found ? find.Integer(0) : 0;
}

/// The series that the query asks for, by id: points without step, epoch and value.
absl::StatusOr<std::unordered_map<int64_t, spec::MetricPoint>> FindSeries(
    Database& database, int64_t job, const MetricsQuery& query) {
  ASSIGN_OR_RETURN(
      Statement rows,
      database.Prepare("SELECT id, name, layer, split, time_step FROM series WHERE job = ?1 "
                       "AND (?2 = '' OR name = ?2) AND (?3 = '' OR layer = ?3)"));
  rows.Bind(job).Bind(query.name).Bind(query.layer);
  std::unordered_map<int64_t, spec::MetricPoint> series;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return series;
    spec::MetricPoint& point = series[rows.Integer(0)];
    point.name = rows.Text(1);
    point.layer = rows.Text(2);
    point.split = rows.Text(3);
    point.time_step = static_cast<int32_t>(rows.Integer(4));
  }
}

}  // namespace

absl::StatusOr<MetricsPage> ReadMetrics(Database& database, const base::JobId& job,
                                        const MetricsQuery& query) {
  MetricsPage page;
  page.cursor = query.after;
  ASSIGN_OR_RETURN(const int64_t sequence, SequenceOf(database, job));
  ASSIGN_OR_RETURN(const auto series, FindSeries(database, sequence, query));
  ASSIGN_OR_RETURN(Statement rows,
                   database.Prepare("SELECT arrival, series, step, epoch, value FROM points "
                                    "WHERE job = ? AND arrival > ? ORDER BY arrival"));
  rows.Bind(sequence).Bind(query.after);
  for (int looked_at = 0;; ++looked_at) {
    ASSIGN_OR_RETURN(const bool there, rows.Step());
    if (!there) return page;
    if (looked_at == kPointsLookedAtMax) break;
    const auto found = series.find(rows.Integer(1));
    if (found != series.end()) {
      if (std::ssize(page.points) == query.limit) break;
      spec::MetricPoint& point = page.points.emplace_back(found->second);
      point.step = rows.Integer(2);
      point.epoch = static_cast<int32_t>(rows.Integer(3));
      point.value = rows.Number(4);
    }
    page.cursor = rows.Integer(0);
  }
  page.more = true;
  return page;
}

absl::StatusOr<LogsPage> ReadLogs(Database& database, const base::JobId& job,
                                  const LogsQuery& query) {
  LogsPage page;
  page.cursor = query.after;
  int64_t after = query.after;
  ASSIGN_OR_RETURN(const int64_t sequence, SequenceOf(database, job));
  if (after == 0 && query.tail > 0) {
    ASSIGN_OR_RETURN(Statement place,
                     database.Prepare("SELECT arrival FROM logs WHERE job = ? ORDER BY arrival "
                                      "DESC LIMIT 1 OFFSET ?"));
    ASSIGN_OR_RETURN(const bool found, place.Bind(sequence).Bind(int64_t{query.tail}).Step());
    if (found) after = place.Integer(0);
  }
  ASSIGN_OR_RETURN(
      Statement rows,
      database.Prepare("SELECT arrival, time, attempt_epoch, severity, message FROM logs "
                       "WHERE job = ? AND arrival > ? ORDER BY arrival LIMIT ?"));
  rows.Bind(sequence).Bind(after).Bind(int64_t{query.limit} + 1);
  while (true) {
    ASSIGN_OR_RETURN(const bool there, rows.Step());
    if (!there) return page;
    page.more = std::ssize(page.lines) == query.limit;
    if (page.more) return page;
    page.cursor = rows.Integer(0);
    page.lines.push_back({absl::FromUnixNanos(rows.Integer(1)),
                          static_cast<int32_t>(rows.Integer(2)),
                          static_cast<spec::Severity>(rows.Integer(3)), rows.Text(4)});
  }
}

}  // namespace bsnn::store
