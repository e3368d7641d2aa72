/// SQLite with owned handles and status errors; internal to this adapter.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace bsnn::store {

/// A prepared statement. Bind all parameters in order, then Step until false; Step resets it after
/// the last row. Thread-compatible.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& Bind(int64_t value);
  Statement& Bind(double value);  ///< NaN is stored as NULL
  Statement& Bind(std::string_view value);
  Statement& BindBlob(std::string_view value);

  /// True: a row is there. False: there are no more.
  absl::StatusOr<bool> Step();
  /// For statements that give no rows.
  absl::Status Run();
  /// Ends the reading of rows before the last.
  void Reset();

  int64_t Integer(int column) const;
  double Number(int column) const;  ///< NULL is NaN
  std::string Text(int column) const;
  /// Of a text or a blob; good until the next Step.
  std::string_view View(int column) const;

 private:
  friend class Database;
  sqlite3* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  int bind_error_ = 0;
};

/// A connection. Thread-compatible. Statements must go before it.
class Database {
 public:
  /// Creates the file where it is missing, unless `read_only`.
  static absl::StatusOr<Database> Open(const std::string& path, bool read_only);
  Database() = default;
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  ~Database();

  /// Statements without parameters, separated by ';'.
  absl::Status Execute(const char* sql);
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  int64_t LastInsertId() const;
  int64_t RowsChanged() const;  ///< by the newest statement

 private:
  sqlite3* database_ = nullptr;
};

}  // namespace bsnn::store
