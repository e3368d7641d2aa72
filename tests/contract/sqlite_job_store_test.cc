// What only the SQLite adapter can show: files that are not ours, and disks that fail.
#include "server/store/sqlite/sqlite_job_store.h"

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/contract/job_store_contract.h"

namespace bsnn::store {
namespace {

using testing::HasSubstr;

class SqliteJobStore : public testing::Test {
 protected:
  SqliteJobStore()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("sqlite-" + std::to_string(::getpid()) + "-" +
                 testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
  }
  ~SqliteJobStore() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path file() const { return folder_ / "jobs.sqlite"; }
  absl::StatusOr<std::unique_ptr<Store>> Open() {
    return MakeSqliteJobStore({.file = file(), .on_fatal = [this](const absl::Status& status) {
                                 failure_ = status;
                                 failed_.Notify();
                               }});
  }

  const std::filesystem::path folder_;
  absl::Status failure_;
  absl::Notification failed_;
};

TEST_F(SqliteJobStore, RefusesAFileThatIsNoDatabase) {
  std::ofstream(file()) << "this is no database, whatever its name says; and it is long enough";
  const auto store = Open();
  EXPECT_TRUE(absl::IsDataLoss(store.status())) << store.status();
}

TEST_F(SqliteJobStore, RefusesADatabaseOfANewerProgram) {
  ASSERT_TRUE(Open().ok());
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version = 99", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  const auto store = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(store.status()));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("99"));
}

TEST_F(SqliteJobStore, SaysWhichFolderIsMissing) {
  const auto store = MakeSqliteJobStore({.file = folder_ / "no" / "such" / "x", .on_fatal = {}});
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("no/such"));
}

TEST_F(SqliteJobStore, RefusesARecordItCannotRead) {
  {
    auto store = Open();
    Put(**store, {CreateJob{SomeJob("one", 1)}});
  }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &database), SQLITE_OK);
  sqlite3_exec(database, "UPDATE jobs SET status = x'0104c801'", nullptr, nullptr, nullptr);
  sqlite3_close(database);
  auto store = Open();
  ASSERT_TRUE(store.ok());
  const absl::Status status = (*store)->LoadAll().status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("job one"));
}

TEST_F(SqliteJobStore, RefusesASpecOfANewerProgramAndNamesTheJob) {
  {
    auto store = Open();
    Put(**store, {CreateJob{SomeJob("one", 1)}});
  }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &database), SQLITE_OK);
  sqlite3_exec(database, "UPDATE jobs SET spec = x'019c1f02'", nullptr, nullptr, nullptr);
  sqlite3_close(database);
  auto store = Open();
  const absl::Status status = (*store)->LoadAll().status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("job one"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("field number 999"));
}

TEST_F(SqliteJobStore, AWriteThatFailsIsFatalAndNothingAfterItIsDurable) {
  auto store = Open();
  Put(**store, {CreateJob{SomeJob("one", 1)}});
  // The same id again breaks a constraint, as a failing disk would break the write.
  bool durable = false;
  const Ticket ticket = (*store)->Enqueue({CreateJob{SomeJob("one", 1)}});
  (*store)->WhenDurable(ticket, [&] { durable = true; });
  failed_.WaitForNotification();
  EXPECT_FALSE(failure_.ok());
  (*store)->Enqueue({CreateJob{SomeJob("two", 2)}});
  store->reset();
  EXPECT_FALSE(durable);
  auto again = Open();
  EXPECT_THAT((*again)->LoadAll()->jobs, testing::SizeIs(1));
}

/// Files may not grow beyond `bytes` while it lives, as on a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit full{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &full);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_ = {};
};

TEST_F(SqliteJobStore, AFullDiskIsFatalAndWhatWasDurableStays) {
  auto store = Open();
  Put(**store, {CreateJob{SomeJob("one", 1)}});
  bool durable = false;
  {
    const FullDisk full(std::filesystem::file_size(file().string() + "-wal") + 8192);
    std::vector<LogRecord> lines(500);
    for (LogRecord& line : lines) line = {absl::UnixEpoch(), 1, {}, std::string(4000, 'x')};
    const Ticket ticket = (*store)->Enqueue({AppendLogs{Job("one"), std::move(lines)}});
    (*store)->WhenDurable(ticket, [&] { durable = true; });
    failed_.WaitForNotification();
  }
  EXPECT_THAT(std::string(failure_.message()), HasSubstr("the disk of " + folder_.string()));
  EXPECT_FALSE(durable);
  store->reset();
  store = Open();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT((*store)->LoadAll()->jobs, testing::SizeIs(1));
  EXPECT_THAT((*store)->ListLogs(Job("one"), {0, 10, 0})->lines, testing::IsEmpty());
}

TEST_F(SqliteJobStore, ACutOffFileIsRefusedOrReadAsBroken) {
  {
    auto store = Open();
    for (int i = 1; i <= 100; ++i) Put(**store, {CreateJob{SomeJob("j" + std::to_string(i), i)}});
  }
  std::filesystem::resize_file(file(), std::filesystem::file_size(file()) / 2);
  const auto store = Open();
  const absl::Status status = store.ok() ? (*store)->LoadAll().status() : store.status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_F(SqliteJobStore, ReadsWhileItWrites) {
  auto store = Open();
  Put(**store, {CreateJob{SomeJob("one", 1)}});
  Ticket last = 0;
  for (int i = 0; i < 300; ++i) {
    last = (*store)->Enqueue({AppendMetrics{Job("one"), {SomePoint("a", i, i)}}});
    const Ticket durable = (*store)->Durable();
    const auto page = (*store)->ListMetrics(Job("one"), {0, 1000, "", ""});
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_GE(std::ssize(page->points), durable - 1) << "at least what was durable before";
  }
  absl::Notification done;
  (*store)->WhenDurable(last, [&] { done.Notify(); });
  done.WaitForNotification();
  EXPECT_THAT((*store)->ListMetrics(Job("one"), {0, 1000, "", ""})->points, testing::SizeIs(300));
}

TEST_F(SqliteJobStore, WritesWhatIsQueuedBeforeItCloses) {
  {
    auto store = Open();
    for (int i = 1; i <= 200; ++i) {
      (*store)->Enqueue({CreateJob{SomeJob("job-" + std::to_string(i), i)}});
    }
  }
  auto store = Open();
  EXPECT_THAT((*store)->LoadAll()->jobs, testing::SizeIs(200));
}

}  // namespace
}  // namespace bsnn::store
