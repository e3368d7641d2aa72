/// What the passes of a binary convolution over CPU memory share: SpikeConv2d and FireConvNorm.
/// Private to nn/.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/spike_conv.h"

namespace bsnn::trainer {

/// What the backward pass needs besides the spikes' bits.
struct SpikeConvState {
  kernels::BinaryConvShape shape;
  std::shared_ptr<const kernels::BinaryWeights> weights;
};

/// Throws c10::Error where SpikeConv2d says so.
void CheckSpikeConv(const char* what, const at::Tensor& x, const at::Tensor& weight,
                    const ConvOptions& options);
/// Whether kernels/binary_conv.h serves such an input and weight.
bool CanPackSpikes(const at::Tensor& x, const at::Tensor& weight);
/// For `pictures` pictures of x's size.
SpikeConvState MakeSpikeConvState(const at::Tensor& x, int64_t pictures, const at::Tensor& weight,
                                  const ConvOptions& options);

/// dL/dx and dL/dweight from dL/dy, channels-last. bits as kernels::PackSpikes writes them.
at::Tensor RunGradInput(const SpikeConvState& state, const at::Tensor& grad_y);
at::Tensor RunGradWeight(const SpikeConvState& state, const at::Tensor& bits,
                         const at::Tensor& grad_y);
/// dL/dweight from the sums of all of the plan's shares.
at::Tensor FoldGradWeight(const SpikeConvState& state, const kernels::GradWeightPlan& plan,
                          const at::Tensor& sums);

}  // namespace bsnn::trainer
