#include "server/store/sqlite/database.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/statvfs.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>

namespace bsnn::store {
namespace {

/// The folder of the database's file.
std::string FolderOf(sqlite3* database) {
  const char* file = sqlite3_db_filename(database, "main");
  return file == nullptr ? "" : std::filesystem::path(file).parent_path().string();
}

/// SQLite knows ENOSPC of a write; what a failed sync or a quota is about, the file system says.
bool IsFull(sqlite3* database, int code) {
  constexpr uint64_t kRoomMinBytes = 1 << 20;
  if ((code & 0xff) == SQLITE_FULL) return true;
  struct statvfs room = {};
  return (code & 0xff) == SQLITE_IOERR && ::statvfs(FolderOf(database).c_str(), &room) == 0 &&
         uint64_t{room.f_bavail} * room.f_frsize < kRoomMinBytes;
}

absl::Status ErrorOf(sqlite3* database, int code, std::string_view what) {
  const char* text = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  const std::string message = fmt::format("database: {}: {} (SQLite {})", what, text, code);
  if (database != nullptr && IsFull(database, code)) {
    return absl::ResourceExhaustedError(fmt::format(
        "the disk of {} is full: make room and start again; nothing that was acknowledged is lost "
        "({})",
        FolderOf(database), message));
  }
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_IOERR:
      return absl::InternalError(fmt::format(
          "the disk of {} cannot be read or written: look at the system's log, then start again "
          "({})",
          FolderOf(database), message));
    case SQLITE_CANTOPEN:
      return absl::NotFoundError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace

Statement::Statement(Statement&& other) noexcept { *this = std::move(other); }

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(database_, other.database_);
  std::swap(statement_, other.statement_);
  std::swap(bound_, other.bound_);
  std::swap(bind_error_, other.bind_error_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Bind(int64_t value) {
  const int code = sqlite3_bind_int64(statement_, ++bound_, value);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::Bind(double value) {
  const int code = std::isnan(value) ? sqlite3_bind_null(statement_, ++bound_)
                                     : sqlite3_bind_double(statement_, ++bound_, value);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::Bind(std::string_view value) {
  const int code = sqlite3_bind_text64(statement_, ++bound_, value.data() ? value.data() : "",
                                       value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::BindBlob(std::string_view value) {
  const int code = sqlite3_bind_blob64(statement_, ++bound_, value.data() ? value.data() : "",
                                       value.size(), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = bind_error_ != 0 ? bind_error_ : sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  absl::Status status;
  if (code != SQLITE_DONE) status = ErrorOf(database_, code, sqlite3_sql(statement_));
  Reset();
  if (!status.ok()) return status;
  return false;
}

absl::Status Statement::Run() { return Step().status(); }

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  bound_ = 0;
  bind_error_ = 0;
}

int64_t Statement::Integer(int column) const { return sqlite3_column_int64(statement_, column); }

double Statement::Number(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return sqlite3_column_double(statement_, column);
}

std::string Statement::Text(int column) const { return std::string(View(column)); }

std::string_view Statement::View(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string_view() : std::string_view(bytes, static_cast<size_t>(size));
}

absl::StatusOr<Database> Database::Open(const std::string& path, bool read_only) {
  Database database;
  const int mode = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code =
      sqlite3_open_v2(path.c_str(), &database.database_, mode | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) return ErrorOf(database.database_, code, "opening " + path);
  sqlite3_extended_result_codes(database.database_, 1);
  sqlite3_busy_timeout(database.database_, 10'000);
  return database;
}

Database::Database(Database&& other) noexcept { *this = std::move(other); }

Database& Database::operator=(Database&& other) noexcept {
  std::swap(database_, other.database_);
  return *this;
}

Database::~Database() { sqlite3_close(database_); }

absl::Status Database::Execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ErrorOf(database_, code, sql);
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  Statement statement;
  statement.database_ = database_;
  const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement.statement_, nullptr);
  if (code != SQLITE_OK) return ErrorOf(database_, code, sql);
  return statement;
}

int64_t Database::LastInsertId() const { return sqlite3_last_insert_rowid(database_); }

int64_t Database::RowsChanged() const { return sqlite3_changes64(database_); }

}  // namespace bsnn::store
