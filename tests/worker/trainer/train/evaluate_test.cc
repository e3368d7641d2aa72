#include "worker/trainer/train/evaluate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "worker/trainer/data/generated.h"

namespace bsnn::trainer {
namespace {

bool Never() { return false; }

TEST(Evaluate, CountsWhatItPredictsAndRestoresTheMode) {
  const Dataset data = GenerateDataset(70, Split::kTest);
  const auto network = Network::Make({}, data.shape);
  ASSERT_TRUE(network.ok());
  const auto whole = Evaluate(**network, at::kCPU, data, 256, Never);
  ASSERT_TRUE(whole);
  EXPECT_TRUE((*network)->training());
  EXPECT_EQ(whole->pictures, 70);
  ASSERT_EQ(whole->predictions.size(), 70u);
  int64_t correct = 0;
  for (size_t i = 0; i < 70; ++i) correct += whole->predictions[i] == data.labels[i];
  EXPECT_EQ(whole->correct, correct);
  EXPECT_DOUBLE_EQ(whole->accuracy_ratio(), static_cast<double>(correct) / 70);

  // In evaluation a picture's result does not depend on the batch that it is in.
  const auto parts = Evaluate(**network, at::kCPU, data, 32, Never);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->predictions, whole->predictions);
  EXPECT_NEAR(parts->loss, whole->loss, 1e-6);
  EXPECT_NEAR(whole->loss, std::log(10.0), 1.0);  // untrained: about chance
}

TEST(Evaluate, StopsBetweenBatches) {
  const Dataset data = GenerateDataset(64, Split::kTest);
  const auto network = Network::Make({}, data.shape);
  ASSERT_TRUE(network.ok());
  int batches = 0;
  EXPECT_FALSE(Evaluate(**network, at::kCPU, data, 16, [&] { return ++batches == 2; }));
  EXPECT_EQ(batches, 2);
  EXPECT_TRUE((*network)->training());
  // A stop after the last batch loses nothing.
  EXPECT_TRUE(Evaluate(**network, at::kCPU, data, 64, [] { return true; }));
}

}  // namespace
}  // namespace bsnn::trainer
