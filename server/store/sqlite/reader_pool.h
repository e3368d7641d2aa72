/// Read-only connections to the database, one for each thread that reads at the time.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <string>
#include <utility>
#include <vector>

#include "server/store/sqlite/database.h"

namespace bsnn::store {

/// Thread-safe. Readers never wait for each other: where no connection is idle, one is opened.
class ReaderPool {
 public:
  explicit ReaderPool(std::string path) : path_(std::move(path)) {}

  /// Gives `read` a connection and returns its answer.
  template <class Read>
  auto With(Read&& read) const -> decltype(read(std::declval<Database&>())) {
    absl::StatusOr<Database> database = Take();
    if (!database.ok()) return database.status();
    auto answer = read(*database);
    absl::MutexLock lock(&mutex_);
    if (idle_.size() < kIdleMax) idle_.push_back(*std::move(database));
    return answer;
  }

 private:
  static constexpr size_t kIdleMax = 16;

  absl::StatusOr<Database> Take() const {
    {
      absl::MutexLock lock(&mutex_);
      if (!idle_.empty()) {
        Database database = std::move(idle_.back());
        idle_.pop_back();
        return database;
      }
    }
    return Database::Open(path_, /*read_only=*/true);
  }

  const std::string path_;
  mutable absl::Mutex mutex_;
  mutable std::vector<Database> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::store
