/// The neuron's two passes over CPU memory, with or without an affine map in front: shared by Lif
/// and NormGateFire. Private to nn/.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/trainer/nn/neuron.h"

namespace bsnn::trainer {

struct LifMap {
  const float* scale = nullptr;  ///< [N, C], N = x.size(0); null: no map
  const float* shift = nullptr;  ///< [N, C]
};

/// Spikes, and the potential where `keep`. x is channels-last float32 on the CPU.
LifResult RunLifPass(const at::Tensor& x, const LifOptions& options, const LifMap& map, bool keep,
                     const at::Tensor& spike_count);

struct LifSums {
  at::Tensor x;                   ///< channels-last; undefined: no sums
  const float* center = nullptr;  ///< [C]
  double* sum_delta = nullptr;    ///< [N, C], as kernels::LifBackward
  double* sum_delta_x = nullptr;  ///< [N, C]
};

/// The gradient at the neuron's input (behind the map), channels-last.
at::Tensor RunLifBackwardPass(const at::Tensor& grad_spikes, const at::Tensor& potential,
                              const LifOptions& options, const LifSums& sums);

}  // namespace bsnn::trainer
