// Seen: any SQLite file was taken for the coordinator's and got its tables; a data folder of an
// older version must open. Wrong: nothing but `user_version` 0 was looked at.
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <map>

#include "server/store/sqlite/sqlite_job_store.h"
#include "tests/regression/store_folder.h"

namespace bsnn::store {
namespace {

using testing::HasSubstr;

class StoreFiles : public StoreFolder {};

TEST_F(StoreFiles, ADatabaseOfAnotherProgramIsRefusedAndLeftAlone) {
  Sql("CREATE TABLE photos(name TEXT)");
  const auto store = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(store.status())) << store.status();
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("another program"));
  EXPECT_EQ(Ask("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(StoreFiles, ADatabaseWithAnotherApplicationIdIsRefused) {
  Sql("PRAGMA application_id = 1; PRAGMA user_version = 1");
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status()));
}

TEST_F(StoreFiles, AJobOfVersion1ThatCannotBeReadIsNamedAndNothingIsChanged) {
  CopyVersion1();
  Sql("UPDATE jobs SET fixed = json_set(fixed, '$.spec.network.time_steps', 9999) WHERE id = "
      "'running'");
  const auto store = Open();
  EXPECT_TRUE(absl::IsDataLoss(store.status())) << store.status();
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("job running"));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("network.time_steps"));
  EXPECT_EQ(Ask("PRAGMA user_version"), 1);
  EXPECT_EQ(Ask("SELECT count(*) FROM jobs WHERE json_valid(fixed)"), 10);
}

TEST_F(StoreFiles, ADataFolderOfVersion1IsTakenOverWhole) {
  CopyVersion1();
  for (int start = 0; start < 2; ++start) {
    const auto store = Open();
    ASSERT_TRUE(store.ok()) << store.status();
    const auto state = (*store)->LoadAll();
    ASSERT_TRUE(state.ok()) << state.status();
    std::map<std::string, const LoadedJob*> jobs;
    for (const LoadedJob& job : state->jobs) jobs[job.job.id.value()] = &job;
    ASSERT_EQ(jobs.size(), 10U);
    EXPECT_EQ(jobs["succeeded"]->job.status.state, JobState::kSucceeded);
    EXPECT_EQ(jobs["failed"]->job.status.failure_class, FailureClass::kUserError);
    EXPECT_EQ(jobs["expired"]->job.status.state, JobState::kExpired);
    EXPECT_EQ(jobs["cancelled"]->job.status.state, JobState::kCancelled);
    EXPECT_EQ(jobs["cancelling"]->job.status.state, JobState::kCancelling);
    EXPECT_EQ(jobs["running"]->job.status.state, JobState::kRunning);
    EXPECT_EQ(jobs["starting"]->job.status.state, JobState::kStarting);
    EXPECT_EQ(jobs["backing-off"]->job.status.restart_count, 1);
    EXPECT_EQ(jobs["queued"]->job.spec.Unpack().network.name, spec::NetworkName::kVggsnn);
    EXPECT_EQ(jobs["queued"]->job.spec.Unpack().scheduling.restart_backoff_seconds, 2.5);
    EXPECT_EQ(jobs["queued"]->job.labels.Unpack().at("key"), "value");
    EXPECT_EQ(jobs["succeeded"]->attempts.size(), 2U);
    EXPECT_EQ(jobs["succeeded"]->checkpoints.size(), 2U);
    EXPECT_EQ(jobs["succeeded"]->checkpoints[0].files.size(), 3U);
    EXPECT_TRUE(jobs["succeeded"]->checkpoints[1].pinned);
    EXPECT_EQ(jobs["running"]->latest.size(), 4U);
    ASSERT_EQ(state->retired.size(), 1U);
    EXPECT_EQ(state->retired[0].job.value(), "deleted");
    EXPECT_EQ(state->workers.size(), 1U);
    EXPECT_EQ(state->last_sequence, 11);
    const base::JobId id = *base::JobId::Make("succeeded");
    EXPECT_EQ((*store)->ListMetrics(id, {0, 100, "", ""})->points.size(), 12U);
    EXPECT_EQ((*store)->ListMetrics(id, {0, 100, "loss", ""})->points.size(), 3U);
    EXPECT_EQ((*store)->ListLogs(id, {0, 100, 0})->lines.size(), 4U);
  }
  EXPECT_EQ(Ask("PRAGMA user_version"), 2);
}

}  // namespace
}  // namespace bsnn::store
