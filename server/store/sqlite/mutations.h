/// Writes mutations into the database: the writer's half of the adapter. schema.cc has the layout.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <vector>

#include "server/store/job_store.h"
#include "server/store/sqlite/database.h"
#include "server/store/sqlite/history_writer.h"

namespace bsnn::store {

/// Thread-compatible: the writer thread's. Borrows what it is made with.
class Mutations {
 public:
  static absl::StatusOr<std::unique_ptr<Mutations>> Make(Database& database,
                                                         HistoryWriter& histories);

  /// Within the caller's transaction. An error means that the transaction must not be committed.
  absl::Status Apply(const Mutation& mutation);
  /// Before the transaction is committed.
  absl::Status Finish();

 private:
  enum Sql : size_t;

  Mutations(Database& database, HistoryWriter& histories)
      : database_(database), histories_(histories) {}
  Statement& Use(Sql sql);

  absl::StatusOr<int64_t> SequenceOf(const base::JobId& job);

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
  HistoryWriter& histories_;
  std::vector<Statement> statements_;
  int64_t last_sequence_ = 0;  // of a job made in this transaction; 0 for none
};

}  // namespace bsnn::store
