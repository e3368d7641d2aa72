/// A folder with the coordinator's database, which a test can also look into past the store.
#pragma once

#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <string>

#include "server/store/sqlite/sqlite_job_store.h"

namespace bsnn::store {

class StoreFolder : public testing::Test {
 protected:
  StoreFolder()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("store-" + std::to_string(::getpid()) + "-" +
                 testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
  }
  ~StoreFolder() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path file() const { return folder_ / "coordinator.sqlite"; }

  absl::StatusOr<std::unique_ptr<Store>> Open() {
    return MakeSqliteJobStore(
        {.file = file(), .on_fatal = [](const absl::Status& status) { ADD_FAILURE() << status; }});
  }

  /// The database that bsnn-coordinator of bfe6861 left (tests/regression/data/fill.py).
  void CopyVersion1() {
    std::filesystem::copy_file(
        std::string(BSNN_ROOT) + "/tests/regression/data/bfe6861/coordinator.sqlite", file());
  }

  void Sql(const char* sql) { Ask(sql); }
  /// Column 0 of the last row; 0 where there is none.
  int64_t Ask(const char* sql) {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open(file().c_str(), &database), SQLITE_OK);
    sqlite3_busy_timeout(database, 10'000);
    int64_t answer = 0;
    const auto take = [](void* to, int, char** values, char**) {
      *static_cast<int64_t*>(to) = values[0] == nullptr ? 0 : std::atoll(values[0]);
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(database, sql, take, &answer, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
    return answer;
  }

  static void Put(JobStore& store, Batch batch) {
    absl::Notification durable;
    store.WhenDurable(store.Enqueue(std::move(batch)), [&] { durable.Notify(); });
    durable.WaitForNotification();
  }

  const std::filesystem::path folder_;
};

}  // namespace bsnn::store
