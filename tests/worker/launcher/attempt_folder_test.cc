#include "worker/launcher/attempt_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/support/temp_folder.h"

namespace bsnn::launcher {
namespace {

using test::Append;
using test::Read;
using testing::HasSubstr;

const agent::AttemptKey kKey{.job = *base::JobId::Make("job-a"), .epoch = 3};

TEST(WorkFolder, SweepsTheAttemptsOfTheWorkerBefore) {
  test::TempFolder folder;
  std::filesystem::create_directories(folder / "attempts/old.1/checkpoints");
  const auto work = WorkFolder::Open(folder.path());
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_TRUE(std::filesystem::is_empty(folder / "attempts"));
  EXPECT_EQ(work->AttemptPath(kKey), folder / "attempts/job-a.3");
}

TEST(WorkFolder, AnotherWorkerInTheSameFolderIsRefused) {
  test::TempFolder folder;
  {
    const auto first = WorkFolder::Open(folder.path());
    const auto second = WorkFolder::Open(folder.path());
    EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  }
  EXPECT_TRUE(WorkFolder::Open(folder.path()).ok());
}

TEST(WorkFolder, TooLittleSpaceNamesBothNumbers) {
  test::TempFolder folder;
  const auto work = WorkFolder::Open(folder.path());
  EXPECT_TRUE(work->CheckFree(1).ok());
  const absl::Status status = work->CheckFree(uint64_t{1} << 60);
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("needed: at least 1099511627776"));
}

TEST(AttemptFolder, IsMadeAnewWithTheSpecAndRemoved) {
  test::TempFolder folder;
  const auto path = folder / "attempts/job-a.3";
  std::filesystem::create_directories(path);
  Append(path / "events.jsonl", "old\n");
  ASSERT_TRUE(MakeAttemptFolder(path, spec::JobSpec()).ok());
  EXPECT_FALSE(std::filesystem::exists(path / "events.jsonl"));
  EXPECT_TRUE(std::filesystem::is_directory(path / "checkpoints"));
  EXPECT_TRUE(spec::ParseJobSpec(Read(path / "spec.json")).ok());
  EXPECT_TRUE(RemoveAttemptFolder(path).ok());
  EXPECT_TRUE(RemoveAttemptFolder(path).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TrainerLog, ItsTailIsWholeLines) {
  test::TempFolder folder;
  Append(folder / "log", "first line\nsecond line\nthird line\n");
  EXPECT_EQ(ReadLogTail(folder / "log", 1000), "first line\nsecond line\nthird line");
  EXPECT_EQ(ReadLogTail(folder / "log", 18), "third line");
  EXPECT_EQ(ReadLogTail(folder / "none", 18), "");
}

TEST(TrainerLog, IsTrimmedOnlyBeyondItsLimit) {
  test::TempFolder folder;
  for (int i = 0; i < 100; ++i) Append(folder / "log", "line " + std::to_string(i) + "\n");
  const auto size = std::filesystem::file_size(folder / "log");
  ASSERT_TRUE(TrimLog(folder / "log", size, 30).ok());
  EXPECT_EQ(std::filesystem::file_size(folder / "log"), size);
  ASSERT_TRUE(TrimLog(folder / "log", size - 1, 30).ok());
  EXPECT_EQ(Read(folder / "log"), "line 97\nline 98\nline 99\n");
  EXPECT_TRUE(TrimLog(folder / "none", 1, 1).ok());
}

}  // namespace
}  // namespace bsnn::launcher
