/// JobStore in one SQLite file: WAL, synchronous FULL, group commit by one writer thread.
///
/// Errors: Make fails where the file cannot be opened, is no database of ours or is newer than this
/// program. A write that fails calls `on_fatal` on the writer thread; nothing is reported durable
/// from then on, and the program should end.
#pragma once

#include <absl/status/statusor.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "server/store/store.h"

namespace bsnn::store {

struct SqliteOptions {
  std::filesystem::path file;
  std::function<void(const absl::Status&)> on_fatal;  ///< called at most once
};

/// What the destructor does: writes what is queued, then joins the writer thread.
absl::StatusOr<std::unique_ptr<Store>> MakeSqliteJobStore(SqliteOptions options);

}  // namespace bsnn::store
