/// Tensors for tests: seeded, and compared with a message.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "worker/trainer/nn/random.h"

namespace bsnn::trainer {

/// N(mean, 1), channels-last where 4-D activations are asked for.
inline at::Tensor Normal(at::IntArrayRef sizes, uint64_t seed, double mean = 0) {
  at::Tensor out = at::zeros(sizes, at::kFloat);
  Random random(seed, 0);
  random.FillNormal({out.mutable_data_ptr<float>(), static_cast<size_t>(out.numel())}, 1.0);
  return out.add_(mean);
}

inline at::Tensor NormalActivations(at::IntArrayRef sizes, uint64_t seed, double mean = 0) {
  return Normal(sizes, seed, mean).contiguous(at::MemoryFormat::ChannelsLast);
}

inline at::Tensor Leaf(const at::Tensor& value) {
  return value.detach().clone().requires_grad_(true);
}

/// Largest difference, relative to the largest number of `expected`.
inline double Difference(const at::Tensor& actual, const at::Tensor& expected) {
  const double scale = expected.detach().abs().max().item<double>();
  const double gap = actual.detach().sub(expected.detach()).abs().max().item<double>();
  return scale > 0 ? gap / scale : gap;
}

}  // namespace bsnn::trainer
