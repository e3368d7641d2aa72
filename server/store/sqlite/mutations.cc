#include "server/store/sqlite/mutations.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "base/limits.h"
#include "base/status.h"
#include "server/store/sqlite/codec.h"
#include "spec/packed_spec.h"

namespace bsnn::store {

enum Mutations::Sql : size_t {
  kInsertJob,
  kSetLastSequence,
  kUpdateJob,
  kFindJob,
  kDeleteJob,
  kDeleteAttempts,
  kDeleteCheckpoints,
  kRetire,
  kForgetRetired,
  kTrimRetired,
  kPutAttempt,
  kPutCheckpoint,
  kDeleteCheckpoint,
  kPutWorker,
  kDeleteWorker,
  kSqlCount,
};

namespace {

constexpr const char* kSql[] = {
    "INSERT INTO jobs(sequence, id, spec, fixed, status) VALUES(?,?,?,?,?)",
    "UPDATE last_sequence SET value = ?",
    "UPDATE jobs SET status = ?2 WHERE id = ?1",
    "SELECT sequence FROM jobs WHERE id = ?",
    "DELETE FROM jobs WHERE sequence = ?",
    "DELETE FROM attempts WHERE job = ?",
    "DELETE FROM checkpoints WHERE job = ?",
    "INSERT OR REPLACE INTO retired(id, newest_epoch) VALUES(?,?)",
    "DELETE FROM retired WHERE id = ?",
    "DELETE FROM retired WHERE number <= ?",
    "INSERT OR REPLACE INTO attempts(job, epoch, record) VALUES(?,?,?)",
    "INSERT OR REPLACE INTO checkpoints(job, id, record) VALUES(?,?,?)",
    "DELETE FROM checkpoints WHERE job = ? AND id = ?",
    "INSERT OR REPLACE INTO workers(id, record) VALUES(?,?)",
    "DELETE FROM workers WHERE id = ?",
};

}  // namespace

absl::StatusOr<std::unique_ptr<Mutations>> Mutations::Make(Database& database,
                                                           HistoryWriter& histories) {
  static_assert(std::size(kSql) == kSqlCount);
  auto mutations = std::unique_ptr<Mutations>(new Mutations(database, histories));
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
                      .BindBlob(job.spec.packed())
                      .BindBlob(Encode(job))
                      .BindBlob(Encode(job.status))
                      .Run());
  last_sequence_ = job.sequence;
  return Use(kForgetRetired).Bind(job.id.value()).Run();
}

absl::Status Mutations::Finish() {
  if (last_sequence_ == 0) return absl::OkStatus();
  return Use(kSetLastSequence).Bind(std::exchange(last_sequence_, 0)).Run();
}

absl::Status Mutations::Write(const UpdateJob& change) {
  if (change.status.state >= JobState::kSucceeded) {
    ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
    histories_.Forget(job);
  }
  return Use(kUpdateJob).Bind(change.job.value()).BindBlob(Encode(change.status)).Run();
}

absl::Status Mutations::Write(const DeleteJob& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  for (const Sql sql : {kDeleteJob, kDeleteAttempts, kDeleteCheckpoints}) {
    RETURN_IF_ERROR(Use(sql).Bind(job).Run());
  }
  RETURN_IF_ERROR(histories_.Drop(job));
  if (change.newest_epoch == 0) return absl::OkStatus();
  RETURN_IF_ERROR(Use(kRetire).Bind(change.job.value()).Bind(int64_t{change.newest_epoch}).Run());
  return Use(kTrimRetired).Bind(database_.LastInsertId() - base::kRetiredIdsMax).Run();
}

absl::Status Mutations::Write(const PutAttempt& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  return Use(kPutAttempt)
      .Bind(job)
      .Bind(int64_t{change.attempt.epoch})
      .BindBlob(Encode(change.attempt))
      .Run();
}

absl::Status Mutations::Write(const PutCheckpoint& change) {
  const CheckpointRecord& checkpoint = change.checkpoint;
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(checkpoint.job));
  return Use(kPutCheckpoint)
      .Bind(job)
      .Bind(checkpoint.id.value())
      .BindBlob(Encode(checkpoint))
      .Run();
}

absl::Status Mutations::Write(const DeleteCheckpoint& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  return Use(kDeleteCheckpoint).Bind(job).Bind(change.checkpoint.value()).Run();
}

absl::Status Mutations::Write(const PutWorker& change) {
  return Use(kPutWorker).Bind(change.worker.id.value()).BindBlob(Encode(change.worker)).Run();
}

absl::Status Mutations::Write(const DeleteWorker& change) {
  return Use(kDeleteWorker).Bind(change.worker.value()).Run();
}

absl::Status Mutations::Write(const AppendMetrics& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  return histories_.AppendPoints(job, change.points);
}

absl::Status Mutations::Write(const AppendLogs& change) {
  ASSIGN_OR_RETURN(const int64_t job, SequenceOf(change.job));
  return histories_.AppendLines(job, change.lines);
}

}  // namespace bsnn::store
