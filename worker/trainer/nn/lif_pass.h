/// The neuron's two passes over CPU memory, with or without an affine map in front: shared by Lif
/// and NormGateFire. Private to nn/.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "worker/trainer/nn/kernels/lif.h"
#include "worker/trainer/nn/neuron.h"

namespace bsnn::trainer {

struct LifMap {
  const float* scale = nullptr;  ///< [N, C], N = x.size(0); null: no map
  const float* shift = nullptr;  ///< [N, C]
};

/// Spikes, and the potential where `keep`. x is channels-last float32 on the CPU.
LifResult RunLifPass(const at::Tensor& x, const LifOptions& options, const LifMap& map, bool keep,
                     const at::Tensor& spike_count);

/// Adds the spikes of [T*B] pictures, `fired`, to Lif's spike_count; nothing where it is empty.
void CountSpikes(const std::vector<int64_t>& fired, int64_t steps, int64_t numbers_each,
                 const at::Tensor& spike_count);

struct LifSums {
  at::Tensor x;                   ///< channels-last; undefined: no sums
  const float* center = nullptr;  ///< [C]
  double* sum_delta = nullptr;    ///< [N, C], as kernels::LifBackward
  double* sum_delta_x = nullptr;  ///< [N, C]
};

/// What the neuron's backward pass starts from.
struct LifHistory {
  at::Tensor potential;  ///< u of the forward pass; or undefined, and
  at::Tensor drive;      ///< its x, without map and pooling
};

/// The gradient at the neuron's input (behind the map), plus `added` where it is defined;
/// channels-last.
at::Tensor RunLifBackwardPass(const at::Tensor& grad_spikes, const LifHistory& history,
                              const LifOptions& options, const LifSums& sums,
                              const at::Tensor& added = {});

}  // namespace bsnn::trainer
