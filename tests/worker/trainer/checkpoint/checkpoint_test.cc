#include "worker/trainer/checkpoint/checkpoint.h"

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/worker/support/temp_folder.h"
#include "tests/worker/trainer/checkpoint/state.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

artifact::VerifiedCheckpoint Save(const std::filesystem::path& folder, int64_t step,
                                  double accuracy = std::nan(""), double value = 1) {
  const auto saved = SaveCheckpoint(folder, {}, test::SmallState(value),
                                    {.step = step, .epoch = 2, .accuracy_ratio = accuracy});
  EXPECT_TRUE(saved.ok()) << saved.status();
  return *saved;
}

std::vector<std::string> StepsIn(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& path : artifact::ListCheckpointFolders(folder)) {
    names.push_back(path.filename().string());
  }
  return names;
}

void FlipAByte(const std::filesystem::path& file) {
  std::string bytes = test::Read(file);
  bytes[bytes.size() / 2] ^= 1;
  std::filesystem::remove(file);
  test::Append(file, bytes);
}

TEST(Checkpoint, GivesBackEveryTypeOfTensor) {
  const test::TempFolder folder;
  const auto saved = Save(folder.path(), 12, 0.5, 1.25);
  EXPECT_EQ(saved.manifest.step, 12);
  EXPECT_EQ(saved.manifest.epoch, 2);
  EXPECT_EQ(saved.manifest.accuracy_ratio, 0.5);
  const TrainingState wanted = test::SmallState(1.25), state = test::SmallState(0);
  ASSERT_TRUE(RestoreCheckpoint(saved, {}, state).ok());
  for (size_t i = 0; i < wanted.model.size(); ++i) {
    EXPECT_TRUE(at::equal(state.model[i].tensor, wanted.model[i].tensor)) << wanted.model[i].name;
  }
  for (size_t i = 0; i < wanted.training.size(); ++i) {
    EXPECT_TRUE(at::equal(state.training[i].tensor, wanted.training[i].tensor))
        << wanted.training[i].name;
  }
}

TEST(Checkpoint, EqualStatesHaveEqualDigests) {
  const test::TempFolder a, b;
  EXPECT_EQ(Save(a.path(), 5).digest, Save(b.path(), 5).digest);
  EXPECT_NE(Save(a.path(), 5).digest, Save(b.path(), 5, 0.5).digest);
}

TEST(Checkpoint, IsTakenUpOnlyByTheSpecThatTrainedIt) {
  const test::TempFolder folder;
  const auto saved = Save(folder.path(), 1);
  spec::JobSpec other;
  other.checkpoint.keep_latest = 9;  // where and how it runs may change
  other.resources.threads = 2;
  EXPECT_TRUE(RestoreCheckpoint(saved, other, test::SmallState(0)).ok());
  other.training.seed += 1;
  const absl::Status refused = RestoreCheckpoint(saved, other, test::SmallState(0));
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("trained by another spec"));
}

TEST(Checkpoint, NamesTheTensorThatDoesNotFit) {
  const test::TempFolder folder;
  const auto saved = Save(folder.path(), 1);
  TrainingState state = test::SmallState(0);
  state.training[1].tensor = at::full({4}, 0, at::kDouble);
  const absl::Status refused = RestoreCheckpoint(saved, {}, state);
  EXPECT_TRUE(absl::IsDataLoss(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("'sums'"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("training.safetensors"));
}

TEST(Checkpoint, CountsOfAnEpochThatAnOlderVersionDidNotKeepBeginAtZero) {
  const test::TempFolder folder;
  const auto saved = Save(folder.path(), 1);
  TrainingState state = test::SmallState(0);
  state.training.push_back({"top5", at::full({2}, 5, at::kLong)});
  state.training.push_back({"flips.conv2.epoch_step_flips", at::full({2}, 5, at::kLong)});
  ASSERT_TRUE(RestoreCheckpoint(saved, {}, state).ok());
  EXPECT_EQ(state.training[3].tensor.sum().item<int64_t>(), 0);
  EXPECT_EQ(state.training[4].tensor.sum().item<int64_t>(), 0);
  state.training.push_back({"flips.conv2.signs", at::full({2}, 5, at::kLong)});
  EXPECT_TRUE(absl::IsDataLoss(RestoreCheckpoint(saved, {}, state)));
}

TEST(Checkpoint, FindsTheNewestThatVerifiesAndSetsBrokenOnesAside) {
  const test::TempFolder folder;
  std::vector<std::string> warnings;
  EXPECT_TRUE(absl::IsNotFound(FindNewest(folder.path(), warnings).status()));
  Save(folder.path(), 1);
  Save(folder.path(), 2);
  Save(folder.path(), 3);
  FlipAByte(folder / "step-00000003" / "model.safetensors");
  std::filesystem::remove(folder / "step-00000002" / "training.safetensors");
  const auto newest = FindNewest(folder.path(), warnings);
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(newest->manifest.step, 1);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("step-00000003"), HasSubstr("is missing")));
  EXPECT_THAT(StepsIn(folder.path()), ElementsAre("step-00000001"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".broken-step-00000003"));
}

TEST(Checkpoint, RetentionKeepsTheNewestAndTheMostAccurate) {
  const test::TempFolder folder;
  Save(folder.path(), 1, 0.9);
  Save(folder.path(), 2, 0.7);
  Save(folder.path(), 3);  // not evaluated: kept as one of the newest or not at all
  Save(folder.path(), 4, 0.8);
  Save(folder.path(), 5);
  spec::CheckpointSpec spec;
  spec.keep_latest = 1;
  spec.keep_best = 2;
  ASSERT_TRUE(ApplyRetention(folder.path(), spec).ok());
  EXPECT_THAT(StepsIn(folder.path()),
              UnorderedElementsAre("step-00000001", "step-00000004", "step-00000005"));
}

TEST(Checkpoint, RefusesTypesThatTheTrainerDoesNotUse) {
  const test::TempFolder folder;
  TrainingState state = test::SmallState(1);
  state.model[0].tensor = state.model[0].tensor.to(at::kHalf);
  EXPECT_THROW(SaveCheckpoint(folder.path(), {}, state, {}).IgnoreError(), c10::Error);
  EXPECT_TRUE(absl::IsNotFound(LoadTensors(folder / "nothing").status()));
  test::Append(folder / "text", "no safetensors");
  EXPECT_TRUE(absl::IsDataLoss(LoadTensors(folder / "text").status()));
}

}  // namespace
}  // namespace bsnn::trainer
