/// Writes histories (metric points, log lines) into the database, and takes those of deleted jobs
/// away in slices.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/store/job_store.h"
#include "server/store/sqlite/database.h"

namespace bsnn::store {

/// Thread-compatible: the writer thread's. Borrows the database. Every call stands within the
/// caller's transaction; an error means that the transaction must not be committed.
class HistoryWriter {
 public:
  static absl::StatusOr<std::unique_ptr<HistoryWriter>> Make(Database& database);

  /// A point replaces the one of the same series and step, and arrives after it.
  absl::Status AppendPoints(int64_t job, std::span<const spec::MetricPoint> points);
  /// Lines beyond limits.h kLogLinesPerJobMax push out the oldest.
  absl::Status AppendLines(int64_t job, std::span<const LogRecord> lines);

  /// Marks the job's history as dead. DropSlice removes its rows.
  absl::Status Drop(int64_t job);
  bool has_dead_jobs() const { return !dead_jobs_.empty(); }
  /// Removes some thousand rows of dead jobs.
  absl::Status DropSlice();

  /// Frees what is held in memory of a job that has ended.
  void Forget(int64_t job);

 private:
  struct Series {
    int64_t id = 0;
    int64_t newest = 0;  ///< arrival of its newest point
  };
  /// What saves queries for each point of one job while it is written to.
  struct JobCache {
    std::unordered_map<std::string, Series> series;  ///< by name, layer, split, time step
    int64_t last_point = 0;                          ///< largest arrival
    int64_t last_line = 0;
    int64_t lines = 0;                    ///< kept
    std::list<int64_t>::iterator recent;  ///< its place in recent_
  };
  enum Sql : size_t;

  explicit HistoryWriter(Database& database) : database_(database) {}
  Statement& Use(Sql sql);
  absl::StatusOr<int64_t> Ask(Sql sql, int64_t job);
  absl::StatusOr<JobCache*> CacheOf(int64_t job);
  absl::Status ReadCache(int64_t job, JobCache& cache);
  absl::StatusOr<Series*> SeriesOf(int64_t job, JobCache& cache, const spec::MetricPoint& point);

  Database& database_;
  std::vector<Statement> statements_;
  std::vector<int64_t> dead_jobs_;
  std::unordered_map<int64_t, JobCache> caches_;
  std::list<int64_t> recent_;  // jobs of caches_, the least recently used first
  size_t cached_series_ = 0;   // of all of caches_
  std::string key_;            // reused
};

}  // namespace bsnn::store
