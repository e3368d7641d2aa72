#include "worker/trainer/measure/flips.h"

#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bsnn::trainer {
namespace {

/// Two layers of 2 and 100 weights, all +1.
std::vector<WeightLayer> Layers() {
  return {{"small", at::ones({1, 2, 1, 1}), spec::Binarization::kSign},
          {"large", at::ones({1, 100, 1, 1}), spec::Binarization::kSign}};
}

void Negate(const WeightLayer& layer, int64_t weight) {
  layer.latent.mutable_data_ptr<float>()[weight] *= -1;
}

TEST(FlipMeter, TellsFlipsOfAnEpochFromFlipsAtSteps) {
  const std::vector<WeightLayer> layers = Layers();
  FlipMeter meter(layers);
  Negate(layers[0], 0);  // there and back within the epoch
  Negate(layers[1], 99);
  meter.ObserveStep();
  EXPECT_EQ(meter.Counts()[2].step_flips_total, 2);
  Negate(layers[0], 0);
  for (int i = 0; i < 2; ++i) {
    meter.ObserveStep();
    EXPECT_EQ(meter.Counts()[2].step_flips_total, 3);
  }

  const std::vector<LayerFlips> counts = meter.Counts();
  ASSERT_EQ(counts.size(), 3u);
  EXPECT_EQ(counts[0].FlipRatio(), 0);
  EXPECT_EQ(counts[0].step_flips_total, 2);
  EXPECT_EQ(counts[0].FlippedWeightsRatio(), 0.5);
  EXPECT_EQ(counts[1].FlipRatio(), 0.01);
  EXPECT_EQ(counts[2].layer, "all");
  EXPECT_EQ(counts[2].weights, 102);
  EXPECT_EQ(counts[2].epoch_flips, 1);
  EXPECT_EQ(counts[2].step_flips_total, 3);
  EXPECT_DOUBLE_EQ(counts[0].flips_per_step, 2.0 / 3);
  EXPECT_DOUBLE_EQ(counts[2].flips_per_step, 1.0);

  meter.StartEpoch();
  EXPECT_EQ(meter.Counts()[1].epoch_flips, 0);
  EXPECT_EQ(meter.Counts()[1].flipped_weights, 1);
  EXPECT_EQ(meter.Counts()[0].step_flips_total, 2);
  EXPECT_TRUE(std::isnan(meter.Counts()[2].flips_per_step));
  meter.ObserveStep();
  EXPECT_EQ(meter.Counts()[2].flips_per_step, 0);
}

TEST(FlipMeter, GoesOnFromItsState) {
  const std::vector<WeightLayer> layers = Layers();
  FlipMeter meter(layers);
  Negate(layers[1], 64);
  meter.ObserveStep();
  FlipMeter resumed(layers);
  ASSERT_TRUE(RestoreState(resumed.State(), meter.State(), "training").ok());
  Negate(layers[1], 64);
  meter.ObserveStep();
  resumed.ObserveStep();
  EXPECT_EQ(resumed.Counts()[1].step_flips_total, 2);
  EXPECT_EQ(resumed.Counts()[1].epoch_flips, meter.Counts()[1].epoch_flips);
}

TEST(FlipMeter, HasNothingToSayWithoutLayers) {
  FlipMeter meter({});
  meter.ObserveStep();
  EXPECT_TRUE(meter.Counts().empty());
}

}  // namespace
}  // namespace bsnn::trainer
