#include "worker/trainer/data/loader.h"

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

namespace bsnn::trainer {
namespace {

/// Picture i is two values: i, and the epoch it is changed for (-1: as it is).
class CountedDataset : public Dataset {
 public:
  explicit CountedDataset(int32_t size, std::vector<int64_t> broken = {})
      : Dataset({.channels = 1, .height = 1, .width = 2, .classes = size}, Labels(size)),
        broken_(std::move(broken)) {}

  absl::Status Read(int64_t index, const EpochAugmentation* change,
                    std::span<float> out) const override {
    ++reads;
    if (std::find(broken_.begin(), broken_.end(), index) != broken_.end()) {
      return absl::DataLossError("picture " + std::to_string(index));
    }
    out[0] = static_cast<float>(index);
    out[1] = change == nullptr ? -1 : static_cast<float>(change->epoch);
    return absl::OkStatus();
  }

  mutable std::atomic<int64_t> reads = 0;

 private:
  static std::vector<int32_t> Labels(int32_t size) {
    std::vector<int32_t> labels(static_cast<size_t>(size));
    std::iota(labels.begin(), labels.end(), 0);
    return labels;
  }
  std::vector<int64_t> broken_;
};

constexpr int64_t kSize = 103;
constexpr int64_t kBatch = 10;
constexpr int64_t kSteps = 11;  // of an epoch

LoadPlan Training(int64_t epochs, int64_t first_step = 0) {
  return {.batch_size = kBatch,
          .epochs = epochs,
          .first_step = first_step,
          .training = LoadPlan::Training{.augmentation = {}, .seed = 7}};
}

/// The values and labels of `count` batches.
std::vector<std::vector<float>> Take(Loader& loader, int64_t count) {
  std::vector<std::vector<float>> batches;
  for (int64_t i = 0; i < count; ++i) {
    auto batch = loader.Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    std::vector<float> values(batch->images.get(), batch->images.get() + 2 * batch->size());
    values.insert(values.end(), batch->labels.begin(), batch->labels.end());
    batches.push_back(std::move(values));
  }
  return batches;
}

TEST(EpochOrder, IsAPermutationDrawnFromSeedAndEpoch) {
  auto order = EpochOrder(1000, 1, 0);
  EXPECT_EQ(order, EpochOrder(1000, 1, 0));
  EXPECT_NE(order, EpochOrder(1000, 1, 1));
  EXPECT_NE(order, EpochOrder(1000, 2, 0));
  std::sort(order.begin(), order.end());
  std::vector<int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(order, all);
}

TEST(Loader, GivesTheSameBatchesAtAnyNumberOfThreads) {
  const CountedDataset data(kSize);
  Loader alone(data, Training(3), 0);
  const auto expected = Take(alone, 3 * kSteps);
  ASSERT_EQ(expected[0].size(), 3u * kBatch);
  ASSERT_EQ(expected[kSteps - 1].size(), 3u * (kSize % kBatch));
  for (int64_t i = 0; i < kBatch; ++i) {  // epoch 1, step 0
    const auto at = static_cast<size_t>(i);
    EXPECT_EQ(expected[kSteps][2 * at], EpochOrder(kSize, 7, 1)[at]);
    EXPECT_EQ(expected[kSteps][2 * at + 1], 1);
    EXPECT_EQ(expected[kSteps][2 * kBatch + at], expected[kSteps][2 * at]) << "label";
  }
  for (const int threads : {1, 2, 5}) {
    Loader loader(data, Training(3), threads);
    EXPECT_EQ(Take(loader, 3 * kSteps), expected) << threads << " threads";
  }
}

TEST(Loader, GoesOnWhereARunWasCut) {
  const CountedDataset data(kSize);
  Loader whole(data, Training(3), 0);
  const auto expected = Take(whole, 3 * kSteps);
  for (const int64_t cut : {int64_t{1}, kSteps - 1, kSteps, 2 * kSteps + 5}) {
    Loader rest(data, Training(3, cut), 2);
    EXPECT_EQ(Take(rest, 3 * kSteps - cut), std::vector(expected.begin() + cut, expected.end()));
  }
}

TEST(Loader, WithoutTrainingTakesPicturesInOrderAsTheyAre) {
  const CountedDataset data(25);
  Loader loader(data, {.batch_size = 10}, 1);
  const auto batches = Take(loader, 3);
  EXPECT_THAT(std::vector(batches[2].begin(), batches[2].begin() + 4),
              testing::ElementsAre(20, -1, 21, -1));
  EXPECT_EQ(batches[2].size(), 15u);
}

TEST(Loader, ReadsAheadButNotFurtherThanItMayHold) {
  const CountedDataset data(kSize);
  Loader loader(data, Training(1), 3);
  EXPECT_TRUE(loader.Next().ok());
  while (data.reads < (1 + kBatchesAhead) * kBatch) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  EXPECT_EQ(data.reads, (1 + kBatchesAhead) * kBatch);
}

TEST(Loader, WithoutThreadsReadsNothingAhead) {
  const CountedDataset data(kSize);
  Loader loader(data, Training(1), 0);
  EXPECT_EQ(data.reads, 0);
  EXPECT_TRUE(loader.Next().ok());
  EXPECT_EQ(data.reads, kBatch);
}

TEST(Loader, TellsTheFirstPictureOfABatchThatCannotBeRead) {
  const CountedDataset data(kSize, {17, 14, 18});
  for (const int threads : {0, 1, 4}) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      Loader loader(data, {.batch_size = kBatch}, threads);
      EXPECT_TRUE(loader.Next().ok());
      EXPECT_EQ(loader.Next().status(), DataUnavailable(absl::DataLossError("picture 14")));
      EXPECT_TRUE(loader.Next().ok());
    }
  }
}

TEST(Loader, EndsWhileItsThreadsAreAtWork) {
  const CountedDataset data(10'000);
  for (int i = 0; i < 50; ++i) {
    Loader loader(data, {.batch_size = 5'000}, 3);
    if (i % 2 == 0) std::this_thread::yield();
  }
}

}  // namespace
}  // namespace bsnn::trainer
