#include "worker/trainer/measure/energy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bsnn::trainer {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Of T = 4: a stem on the picture, a binary layer with a gate on spikes, a float layer on means of
/// four spikes, a float layer on real numbers.
std::vector<LayerDescription> Layers() {
  return {{.name = "stem", .operations = 1000, .repetitions = 1},
          {.name = "conv2",
           .binary = true,
           .operations = 500,
           .repetitions = 4,
           .spikes_per_unit = 1,
           .gated_values = 10},
          {.name = "fc", .operations = 20, .repetitions = 4, .spikes_per_unit = 4},
          {.name = "shortcut", .operations = 30, .repetitions = 4}};
}

TEST(Energy, CountsWhatFiredAndTheRestInFull) {
  const auto energies = EstimateEnergy(Layers(), {kNan, 0.1, 0.25, kNan}, 4);
  ASSERT_EQ(energies.size(), 5u);
  EXPECT_EQ(energies[0].multiply_accumulates, 1000);  // once, not at each time step
  EXPECT_EQ(energies[0].accumulates, 0);
  EXPECT_DOUBLE_EQ(energies[0].joules, 4.6e-9);
  EXPECT_DOUBLE_EQ(energies[1].accumulates, 0.1 * 4 * 500);
  EXPECT_EQ(energies[1].multiply_accumulates, 4 * 10);  // the gate's
  EXPECT_DOUBLE_EQ(energies[1].joules, 40 * 4.6e-12 + 200 * 0.9e-12);
  EXPECT_DOUBLE_EQ(energies[1].int_add_joules, 40 * 4.6e-12 + 200 * 0.1e-12);
  EXPECT_DOUBLE_EQ(energies[2].accumulates, 0.25 * 4 * 4 * 20);
  EXPECT_DOUBLE_EQ(energies[2].int_add_joules, energies[2].joules);  // float weights
  EXPECT_EQ(energies[3].multiply_accumulates, 4 * 30);
  EXPECT_EQ(energies[4].layer, "all");
  EXPECT_DOUBLE_EQ(energies[4].joules, energies[0].joules + energies[1].joules +
                                           energies[2].joules + energies[3].joules);
  EXPECT_DOUBLE_EQ(energies[4].accumulates, 200 + 80);
}

TEST(Energy, KeepsNaNAndStandsNetworksWithoutMeasurement) {
  EXPECT_TRUE(std::isnan(EstimateEnergy(Layers(), {kNan, kNan, 0, kNan}, 4)[1].joules));
  EXPECT_EQ(EstimateEnergy(Layers(), {}, 4)[2].accumulates, 0);
  EXPECT_TRUE(EstimateEnergy({}, {}, 4).empty());
}

}  // namespace
}  // namespace bsnn::trainer
