/// Writes mutations into the database: the writer's half of the adapter. schema() is its layout.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>

#include "server/store/job_store.h"
#include "server/store/sqlite/database.h"

namespace bsnn::store {

/// The tables, made where they are missing. Version 1 of `PRAGMA user_version`.
inline constexpr int kSchemaVersion = 1;
const char* Schema();

/// Thread-compatible: the writer thread's. Borrows the database.
class Mutations {
 public:
  static absl::StatusOr<std::unique_ptr<Mutations>> Make(Database& database);

  /// Within the caller's transaction. An error means that the transaction must not be committed.
  absl::Status Apply(const Mutation& mutation);

 private:
  /// Of one job while it is written to: what saves a query for each point.
  struct JobCache {
    std::map<std::tuple<std::string, std::string, std::string, int32_t>, int64_t> series;
    int64_t lines = 0;
  };
  enum Sql : size_t;

  explicit Mutations(Database& database) : database_(database) {}
  Statement& Use(Sql sql);

  absl::StatusOr<int64_t> SequenceOf(const base::JobId& job);
  absl::StatusOr<JobCache*> CacheOf(int64_t job);
  absl::StatusOr<int64_t> SeriesOf(int64_t job, const spec::MetricPoint& point);

  absl::Status Write(const CreateJob& change);
  absl::Status Write(const UpdateJob& change);
  absl::Status Write(const DeleteJob& change);
  absl::Status Write(const PutAttempt& change);
  absl::Status Write(const PutCheckpoint& change);
  absl::Status Write(const DeleteCheckpoint& change);
  absl::Status Write(const PutWorker& change);
  absl::Status Write(const DeleteWorker& change);
  absl::Status Write(const AppendMetrics& change);
  absl::Status Write(const AppendLogs& change);

  Database& database_;
  std::vector<Statement> statements_;
  std::unordered_map<int64_t, JobCache> caches_;
};

}  // namespace bsnn::store
