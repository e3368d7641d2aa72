/// An estimate of what classifying one picture costs in energy, from the firing rates measured.
///
/// Source: E = 4.6 pJ a multiplication with accumulation and 0.9 pJ an accumulation alone (32-bit
/// float in 45 nm, Horowitz, ISSCC 2014), the field's constants (science.md §5.3). Computation
/// only: no memory traffic, which may well be more than that. For comparison between networks and
/// runs, not a measurement of a machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/trainer/model/network.h"

namespace bsnn::trainer {

inline constexpr double kMultiplyAccumulateJoules = 4.6e-12;
inline constexpr double kAccumulateJoules = 0.9e-12;
/// Adding an integer where the weight is one bit: more honest than 0.9 pJ there (science.md §5.3).
inline constexpr double kIntegerAddJoules = 0.1e-12;

/// Of one picture, over all time steps.
struct LayerEnergy {
  std::string layer;  ///< "all" sums up every layer with weights, binary or not
  double multiply_accumulates = 0;
  double accumulates = 0;
  double joules = 0;  ///< with the field's constants
  double int_add_joules =
      0;  ///< the same, with kIntegerAddJoules for accumulations of binary layers
};

/// One entry a layer of `layers` (Network::Describe()) and, last, "all".
///
/// A real-valued input (the picture, Bi-Real shortcuts) costs each product a multiplication. Where
/// the input is spikes, a product is an accumulation and is done for spikes alone: operations of a
/// time step times T times the mean input of `input_means` (Network::InputMeans(), in the same
/// order; NaN stays NaN). A gate costs one multiplication with accumulation for each value that it
/// weighs, for the mean and the product. Normalisation, neurons and pooling are left out, as the
/// field does. `input_means` may be shorter: layers without one are as if nothing had fired.
std::vector<LayerEnergy> EstimateEnergy(const std::vector<LayerDescription>& layers,
                                        const std::vector<double>& input_means, int64_t time_steps);

}  // namespace bsnn::trainer
