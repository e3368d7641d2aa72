#include "worker/trainer/checkpoint/writer.h"

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <future>

#include "tests/support/fake_clock.h"
#include "tests/worker/support/temp_folder.h"
#include "tests/worker/trainer/checkpoint/state.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A clock that the writing thread, which looks at it first, waits for.
class Gate final : public base::Clock {
 public:
  absl::Time Now() const override { return absl::UnixEpoch(); }
  absl::Duration Steady() const override {
    opened_.wait();
    return absl::ZeroDuration();
  }
  void Open() { open_.set_value(); }

 private:
  std::promise<void> open_;
  std::shared_future<void> opened_ = open_.get_future().share();
};

std::string DigestOf(const TrainingState& state, int64_t step) {
  const test::TempFolder folder;
  return SaveCheckpoint(folder.path(), {}, state, {.step = step})->digest;
}

TEST(CheckpointWriter, WritesTheStateOfTheStart) {
  const test::TempFolder folder;
  Gate gate;
  CheckpointWriter writer(folder.path(), {}, gate);
  const TrainingState state = test::SmallState(2);
  ASSERT_TRUE(writer.Start(state, {.step = 3, .epoch = 1}).ok());
  state.model[0].tensor.zero_();  // training goes on
  state.training[0].tensor.add_(1);
  auto early = writer.Take(/*wait=*/false);
  ASSERT_TRUE(early.ok());
  EXPECT_FALSE(early->has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition(writer.Start(state, {.step = 4})));

  gate.Open();
  auto written = writer.Take(/*wait=*/true);
  ASSERT_TRUE(written.ok() && written->has_value()) << written.status();
  EXPECT_EQ((*written)->facts.step, 3);
  EXPECT_EQ((*written)->facts.epoch, 1);
  EXPECT_EQ((*written)->checkpoint.path, folder / "step-00000003");
  const TrainingState restored = test::SmallState(0);
  ASSERT_TRUE(RestoreCheckpoint((*written)->checkpoint, {}, restored).ok());
  EXPECT_TRUE(at::equal(restored.model[0].tensor, test::SmallState(2).model[0].tensor));
  EXPECT_TRUE(at::equal(restored.training[0].tensor, test::SmallState(2).training[0].tensor));
  const auto again = writer.Take(/*wait=*/true);
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->has_value());
}

TEST(CheckpointWriter, WritesWhatAWriteInTheForegroundWould) {
  const test::TempFolder folder;
  const test::FakeClock clock;
  spec::JobSpec spec;
  spec.checkpoint.keep_latest = 2;
  CheckpointWriter writer(folder.path(), spec, clock);
  std::vector<std::string> digests;
  for (int step = 1; step <= 3; ++step) {
    const TrainingState state = test::SmallState(step);
    ASSERT_TRUE(writer.Start(state, {.step = step}).ok());
    const auto written = writer.Take(/*wait=*/true);
    ASSERT_TRUE(written.ok() && written->has_value()) << written.status();
    const test::TempFolder other;
    EXPECT_EQ((*written)->checkpoint.digest,
              SaveCheckpoint(other.path(), spec, state, {.step = step})->digest);
  }
  std::vector<std::string> names;
  for (const auto& path : artifact::ListCheckpointFolders(folder.path())) names.push_back(path);
  EXPECT_THAT(names, ElementsAre(folder / "step-00000003", folder / "step-00000002"));
}

TEST(CheckpointWriter, ItsEndWaitsForTheWrite) {
  const test::TempFolder folder;
  const test::FakeClock clock;
  const TrainingState state = test::SmallState(5);
  {
    CheckpointWriter writer(folder.path(), {}, clock);
    ASSERT_TRUE(writer.Start(state, {.step = 8}).ok());
  }
  const auto verified = artifact::VerifyCheckpointFolder(folder / "step-00000008");
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->digest, DigestOf(state, 8));
}

TEST(CheckpointWriter, AFullDiskIsToldAndLeavesTheOlderCheckpoint) {
  const test::TempFolder folder;
  const test::FakeClock clock;
  spec::JobSpec spec;
  spec.checkpoint.keep_latest = 1;
  CheckpointWriter writer(folder.path(), spec, clock);
  ASSERT_TRUE(writer.Start(test::SmallState(1), {.step = 1}).ok());
  ASSERT_TRUE(writer.Take(/*wait=*/true).ok());

  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status started = writer.Start(test::SmallState(2), {.step = 2});
  const auto failed = writer.Take(/*wait=*/true);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_TRUE(started.ok());
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("model.safetensors"));
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("File too large"));
  EXPECT_TRUE(artifact::VerifyCheckpointFolder(folder / "step-00000001").ok());
  EXPECT_FALSE(std::filesystem::exists(folder / ".new-step-00000002"));

  // The next one may succeed: the disk has space again.
  ASSERT_TRUE(writer.Start(test::SmallState(3), {.step = 3}).ok());
  ASSERT_TRUE(writer.Take(/*wait=*/true).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "step-00000001"));
}

TEST(CheckpointWriter, RefusesAStateOfOtherShapes) {
  const test::TempFolder folder;
  const test::FakeClock clock;
  CheckpointWriter writer(folder.path(), {}, clock);
  TrainingState state = test::SmallState(1);
  ASSERT_TRUE(writer.Start(state, {.step = 1}).ok());
  ASSERT_TRUE(writer.Take(/*wait=*/true).ok());
  state.model[0].tensor = at::full({3}, 1, at::kFloat);
  EXPECT_THROW(writer.Start(state, {.step = 2}).IgnoreError(), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
