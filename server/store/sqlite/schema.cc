#include "server/store/sqlite/schema.h"

#include <fmt/format.h>

#include "base/status.h"
#include "server/store/sqlite/migration.h"

namespace bsnn::store {
namespace {

// A job's sequence is its key everywhere. `arrival` counts up within a job and is never given
// twice: it is the cursor of readers. points_by_step finds the point that a resumed attempt
// replaces; both trees of points grow at one place for each job.
constexpr const char* kSchema = R"(
CREATE TABLE jobs(
  sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, spec BLOB NOT NULL, fixed BLOB NOT NULL,
  status BLOB NOT NULL);
CREATE TABLE last_sequence(value INTEGER NOT NULL);
INSERT INTO last_sequence VALUES(0);
CREATE TABLE retired(
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, newest_epoch INTEGER NOT NULL);
CREATE TABLE attempts(
  job INTEGER NOT NULL, epoch INTEGER NOT NULL, record BLOB NOT NULL,
  PRIMARY KEY(job, epoch)) WITHOUT ROWID;
CREATE TABLE checkpoints(
  job INTEGER NOT NULL, id TEXT NOT NULL, record BLOB NOT NULL,
  PRIMARY KEY(job, id)) WITHOUT ROWID;
CREATE TABLE workers(id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE series(
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL, name TEXT NOT NULL, layer TEXT NOT NULL,
  split TEXT NOT NULL, time_step INTEGER NOT NULL, newest INTEGER NOT NULL DEFAULT 0,
  UNIQUE(job, name, layer, split, time_step));
CREATE TABLE points(
  job INTEGER NOT NULL, arrival INTEGER NOT NULL, series INTEGER NOT NULL, step INTEGER NOT NULL,
  epoch INTEGER NOT NULL, value REAL, PRIMARY KEY(job, arrival)) WITHOUT ROWID;
CREATE UNIQUE INDEX points_by_step ON points(job, step, series);
CREATE TABLE logs(
  job INTEGER NOT NULL, arrival INTEGER NOT NULL, time INTEGER NOT NULL,
  attempt_epoch INTEGER NOT NULL, severity INTEGER NOT NULL, message TEXT NOT NULL,
  PRIMARY KEY(job, arrival)) WITHOUT ROWID;
CREATE TABLE histories(
  job INTEGER PRIMARY KEY, lines INTEGER NOT NULL, log_epoch INTEGER NOT NULL DEFAULT 0,
  log_sequence INTEGER NOT NULL DEFAULT 0);
CREATE TABLE dead_jobs(job INTEGER PRIMARY KEY);
)";

absl::StatusOr<int64_t> Ask(Database& database, const char* sql) {
  ASSIGN_OR_RETURN(Statement statement, database.Prepare(sql));
  RETURN_IF_ERROR(statement.Step().status());
  return statement.Integer(0);
}

/// The version of a database of ours; 0 for one that is empty.
absl::StatusOr<int64_t> CheckOwner(Database& database, const std::string& path) {
  ASSIGN_OR_RETURN(const int64_t application, Ask(database, "PRAGMA application_id"));
  ASSIGN_OR_RETURN(const int64_t version, Ask(database, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(const int64_t tables, Ask(database, "SELECT count(*) FROM sqlite_schema"));
  ASSIGN_OR_RETURN(const int64_t own_tables,
                   Ask(database,
                       "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name "
                       "IN ('jobs', 'retired', 'attempts', 'series')"));
  // Version 1 did not set the application id.
  const bool is_first = application == 0 && version == 1 && own_tables == 4;
  const bool is_empty = application == 0 && version == 0 && tables == 0;
  if (application != kApplicationId && !is_first && !is_empty) {
    return absl::FailedPreconditionError(
        fmt::format("{} is a database of another program (application id {}, version {}): name "
                    "another data folder",
                    path, application, version));
  }
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(
        fmt::format("database {} has version {}, this program knows up to {}: run the newer "
                    "program that wrote it",
                    path, version, kSchemaVersion));
  }
  return version;
}

absl::Status UseWal(Database& database, const std::string& path) {
  ASSIGN_OR_RETURN(Statement mode, database.Prepare("PRAGMA journal_mode = WAL"));
  RETURN_IF_ERROR(mode.Step().status());
  const std::string taken = mode.Text(0);
  RETURN_IF_ERROR(mode.Step().status());  // it takes effect behind its only row
  if (taken != "wal") {
    return absl::FailedPreconditionError(
        fmt::format("database {} cannot use a write-ahead log (it stays with '{}'): the file "
                    "system has no shared memory, as network file systems have none; put the data "
                    "folder on a local disk",
                    path, taken));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PrepareDatabase(Database& database, const std::string& path) {
  ASSIGN_OR_RETURN(const int64_t version, CheckOwner(database, path));
  RETURN_IF_ERROR(UseWal(database, path));
  // 64 MiB of pages; a WAL that a large transaction made is cut again.
  RETURN_IF_ERROR(
      database.Execute("PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA "
                       "journal_size_limit = 67108864; "
                       "PRAGMA wal_autocheckpoint = 4000"));
  if (version == kSchemaVersion) return absl::OkStatus();
  RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  if (version == 1) RETURN_IF_ERROR(SetAsideVersion1(database));
  RETURN_IF_ERROR(database.Execute(kSchema));
  if (version == 1) RETURN_IF_ERROR(TakeOverVersion1(database));
  RETURN_IF_ERROR(
      database.Execute(fmt::format("PRAGMA user_version = {}; PRAGMA application_id = {}",
                                   kSchemaVersion, kApplicationId)
                           .c_str()));
  return database.Execute("COMMIT");
}

}  // namespace bsnn::store
