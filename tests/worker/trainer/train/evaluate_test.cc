#include "worker/trainer/train/evaluate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "worker/trainer/data/dataset.h"

namespace bsnn::trainer {
namespace {

bool Never() { return false; }

std::unique_ptr<Dataset> SomePictures(int32_t count) {
  auto data = OpenDataset({.data = {.name = spec::DataName::kGenerated, .test_limit = count}}, "",
                          Split::kTest);
  EXPECT_TRUE(data.ok()) << data.status();
  return std::move(*data);
}

TEST(Evaluate, CountsWhatItPredictsAndRestoresTheMode) {
  const auto data = SomePictures(70);
  const auto network = Network::Make({}, data->shape());
  ASSERT_TRUE(network.ok());
  const auto whole = Evaluate(**network, at::kCPU, *data, 256, 1, Never);
  ASSERT_TRUE(whole.ok());
  EXPECT_TRUE((*network)->training());
  EXPECT_EQ(whole->pictures, 70);
  ASSERT_EQ(whole->predictions.size(), 70u);
  int64_t correct = 0;
  for (size_t i = 0; i < 70; ++i) correct += whole->predictions[i] == data->labels()[i];
  EXPECT_EQ(whole->correct, correct);
  EXPECT_GE(whole->correct_top5, whole->correct);
  EXPECT_LT(whole->correct_top5, 70);
  EXPECT_DOUBLE_EQ(whole->top5_accuracy_ratio(), static_cast<double>(whole->correct_top5) / 70);
  EXPECT_DOUBLE_EQ(whole->accuracy_ratio(), static_cast<double>(correct) / 70);

  // In evaluation a picture's result does not depend on the batch that it is in.
  const auto parts = Evaluate(**network, at::kCPU, *data, 32, 2, Never);
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->predictions, whole->predictions);
  EXPECT_NEAR(parts->loss, whole->loss, 1e-6);
  EXPECT_NEAR(whole->loss, std::log(10.0), 1.0);  // untrained: about chance
}

TEST(Evaluate, StopsBetweenBatches) {
  const auto data = SomePictures(64);
  const auto network = Network::Make({}, data->shape());
  ASSERT_TRUE(network.ok());
  int batches = 0;
  const auto stopped = Evaluate(**network, at::kCPU, *data, 16, 1, [&] { return ++batches == 2; });
  EXPECT_TRUE(absl::IsCancelled(stopped.status()));
  EXPECT_EQ(batches, 2);
  EXPECT_TRUE((*network)->training());
  // A stop after the last batch loses nothing.
  EXPECT_TRUE(Evaluate(**network, at::kCPU, *data, 64, 0, [] { return true; }).ok());
}

}  // namespace
}  // namespace bsnn::trainer
