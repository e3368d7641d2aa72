#include "worker/trainer/nn/loss.h"

#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/worker/trainer/nn/tensors.h"

namespace bsnn::trainer {
namespace {

TEST(Loss, CrossEntropyTakesTheMeanOverTimeFirst) {
  // The two steps average to logits (0, ln 3): p of class 1 is 3/4.
  const float log9 = std::log(9.0f);
  const at::Tensor logits = at::tensor({1.0f, log9 - 1, -1.0f, 1.0f}).view({2, 1, 2});
  const at::Tensor labels = at::tensor({1}, at::kLong);
  EXPECT_NEAR(CrossEntropyOfMean(logits, labels).item<double>(), -std::log(0.75), 1e-6);
  EXPECT_EQ(CountCorrect(logits, labels).top1, 1);
}

TEST(Loss, CountsTheFirstAndTheFirstFive) {
  // The label's class is first, second, fifth and sixth of seven.
  const at::Tensor order = at::tensor({7.0f, 6.0f, 5.0f, 4.0f, 3.0f, 2.0f, 1.0f});
  const at::Tensor logits = order.expand({2, 4, 7});
  CorrectCounts counts = CountCorrect(logits, at::tensor({0, 1, 4, 5}, at::kLong));
  EXPECT_EQ(counts.top1, 1);
  EXPECT_EQ(counts.top5, 3);
  // Of equal logits the lower class comes first.
  counts = CountCorrect(at::ones({1, 4, 7}), at::tensor({0, 1, 4, 5}, at::kLong));
  EXPECT_EQ(counts.top1, 1);
  EXPECT_EQ(counts.top5, 3);
  // Where there are fewer than five, every number is right and a NaN is not.
  const float nan = std::nanf("");
  counts = CountCorrect(at::tensor({1.0f, 2.0f, nan, nan}).view({1, 2, 2}),
                        at::tensor({0, 1}, at::kLong));
  EXPECT_EQ(counts.top1, 0);
  EXPECT_EQ(counts.top5, 1);
}

TEST(Loss, TetWithoutRegulariserIsTheMeanOfStepLosses) {
  const at::Tensor logits = Normal({3, 5, 10}, 1), labels = at::tensor({0, 1, 2, 3, 4}, at::kLong);
  double sum = 0;
  for (int64_t t = 0; t < 3; ++t) {
    sum += CrossEntropyOfMean(logits.slice(0, t, t + 1), labels).item<double>();
  }
  EXPECT_NEAR(TetLoss(logits, labels, 0, 1).item<double>(), sum / 3, 1e-6);
}

TEST(Loss, SmoothingSpreadsTheTargetOverTheClasses) {
  const at::Tensor logits = Normal({2, 3, 4}, 1), labels = at::tensor({0, 3, 1}, at::kLong);
  const at::Tensor log_p = at::log_softmax(logits.mean(0), 1);
  at::Tensor target = at::full({3, 4}, 0.2 / 4);
  for (int64_t i = 0; i < 3; ++i) target[i][labels[i].item<int64_t>()] += 0.8;
  EXPECT_NEAR(CrossEntropyOfMean(logits, labels, 0.2).item<double>(),
              -log_p.mul(target).sum(1).mean().item<double>(), 1e-6);
}

TEST(Loss, TheFiringRateTermLeavesTheEndsOut) {
  const auto rate = [](float value) { return at::full({}, value); };
  const at::Tensor term = FiringRateTerm({rate(0.9F), rate(0.1F), rate(0.3F), rate(0.9F)}, 0.5);
  EXPECT_NEAR(term.item<double>(), (0.16 + 0.04) / 2, 1e-6);
  EXPECT_EQ(FiringRateTerm({rate(0.9F), rate(0.1F)}, 0.5).item<double>(), 0);
}

TEST(Loss, RefusesWrongShapesAndLabels) {
  const at::Tensor logits = Normal({2, 3, 4}, 1);
  EXPECT_THROW(CrossEntropyOfMean(logits, at::tensor({0, 1}, at::kLong)), c10::Error);
  EXPECT_THROW(CrossEntropyOfMean(logits, at::tensor({0, 1, 4}, at::kLong)), c10::Error);
  EXPECT_THROW(TetLoss(logits, at::tensor({0.0f, 1.0f, 2.0f}), 0, 1), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
