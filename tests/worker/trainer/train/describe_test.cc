#include "worker/trainer/train/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bsnn::trainer {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

TEST(Describe, NamesEachLayerAndSumsThemUp) {
  const spec::JobSpec spec;  // convnet with AGMM, T = 2
  const InputShape shape;
  const auto network = Network::Make(spec, shape);
  ASSERT_TRUE(network.ok()) << network.status();
  const std::string text = DescribeNetwork(spec, shape, **network);
  EXPECT_THAT(text, HasSubstr("convnet (bsnn_agmm), T = 2, input 1x28x28, 10 classes"));
  // 28x28 outputs of 9 products for the stem, once; 14x14 of 9 * 16 and 7x7 of 9 * 32, twice.
  EXPECT_THAT(text, ContainsRegex("conv1 +16x1x3x3 +16x28x28 +144 +float +576 +576 +112896 +1"));
  EXPECT_THAT(text, ContainsRegex("conv2 +32x16x3x3 +32x14x14 +4608 +binary +18432 +576 +903168"));
  EXPECT_THAT(text, ContainsRegex("conv3 +64x32x3x3 +64x7x7 +18432 +binary"));
  EXPECT_THAT(text, ContainsRegex("fc +10x3136 +10 +31360 +float +125440 +125440 +31360 +2"));
  EXPECT_THAT(text, HasSubstr("54544 weights (23040 binary)"));
  // Gates, running statistics and mode are as they were.
  EXPECT_TRUE((*network)->training());
}

}  // namespace
}  // namespace bsnn::trainer
