#include "worker/trainer/measure/gradients.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bsnn::trainer {
namespace {

std::vector<WeightLayer> Layers() {
  return {{"a", at::tensor({1.0f}), std::nullopt}, {"b", at::tensor({1.0f}), std::nullopt}};
}

TEST(GradientMeter, PoolsWeightsAndSteps) {
  GradientMeter meter(Layers());
  const at::Tensor ones = at::tensor({1.0f, 1.0f}), threes = at::tensor({3.0f, 3.0f});
  meter.Observe({{"a", ones, threes}, {"b", threes, threes}});
  meter.Observe({{"a", threes, threes}, {"b", threes, threes}});
  const std::vector<GradientMoments> moments = meter.Moments();
  ASSERT_EQ(moments.size(), 3u);
  EXPECT_EQ(moments[0].mean, 2);
  EXPECT_EQ(moments[0].variance, 1);
  EXPECT_EQ(moments[0].latent_mean, 3);
  EXPECT_EQ(moments[0].latent_variance, 0);
  EXPECT_EQ(moments[2].layer, "all");
  EXPECT_EQ(moments[2].mean, 2.5);
  EXPECT_EQ(moments[2].variance, 0.75);
}

TEST(GradientMeter, CountsOneTensorForBothOnlyOnceEach) {
  GradientMeter meter(Layers());
  const at::Tensor one = at::tensor({1.0f}), five = at::tensor({5.0f});
  meter.Observe({{"a", one, one}, {"b", one, one}});
  meter.Observe({{"a", five, five}, {"b", five, one}});
  EXPECT_EQ(meter.Moments()[0].mean, 3);
  EXPECT_EQ(meter.Moments()[0].latent_mean, 3);
  EXPECT_EQ(meter.Moments()[1].latent_mean, 1);
}

TEST(GradientMeter, IsNanWhereNothingWasObservedAndGoesOnFromItsState) {
  GradientMeter meter(Layers()), resumed(Layers());
  EXPECT_TRUE(std::isnan(meter.Moments()[0].mean));
  meter.Observe({{"a", at::tensor({2.0f}), at::tensor({2.0f})},
                 {"b", at::tensor({2.0f}), at::tensor({2.0f})}});
  ASSERT_TRUE(RestoreState(resumed.State(), meter.State(), "training").ok());
  EXPECT_EQ(resumed.Moments()[0].mean, 2);
  resumed.Reset();
  EXPECT_TRUE(std::isnan(resumed.Moments()[0].mean));
}

}  // namespace
}  // namespace bsnn::trainer
