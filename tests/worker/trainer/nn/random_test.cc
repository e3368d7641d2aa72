#include "worker/trainer/nn/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bsnn::trainer {
namespace {

TEST(Random, GivesTheSameNumbersForASeedEverywhere) {
  Random random(1, 0);  // frozen: a change here changes every run's initial weights
  EXPECT_EQ(random.Bits(), 0x5e41ab087439611eULL);
}

TEST(Random, KeepsStreamsAndSeedsApart) {
  EXPECT_NE(Random(1, 0).Bits(), Random(1, 1).Bits());
  EXPECT_NE(Random(1, 0).Bits(), Random(2, 0).Bits());
}

TEST(Random, DrawsNormalNumbers) {
  std::vector<float> draws(100'001);
  Random(3, 0).FillNormal(draws, 2.0);
  double sum = 0, square = 0;
  for (const float x : draws) {
    sum += double{x};
    square += double{x} * double{x};
  }
  const auto n = static_cast<double>(draws.size());
  EXPECT_NEAR(sum / n, 0, 0.03);
  EXPECT_NEAR(std::sqrt(square / n), 2, 0.03);
}

}  // namespace
}  // namespace bsnn::trainer
