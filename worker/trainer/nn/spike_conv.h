/// Convolutions of spikes with binary weights.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/neuron.h"

namespace bsnn::trainer {

/// Conv2d of spikes with a binary weight, by bits and tables of sums on the CPU
/// (kernels/binary_conv.h), where I is a multiple of 8; on a CUDA device's tensor cores
/// (cuda/ops.h), where options.powers_of_two; else by Conv2d.
///
/// spikes [N, I, H, W] float32, exactly 0 or 1. weight [O, I, k, k] float32, contiguous, exactly
/// -scale_o or +scale_o with scale_o > 0 (Binarize).
/// Returns [N, O, H', W'] in channels-last memory: whole numbers times scale_o, rounded once. The
/// gradients are sums of float32 in an order that the shape alone decides, whatever the threads.
/// With bf16, dL/dy is rounded to bf16 (to the nearest, ties to even) where it enters a product:
/// the other operand is exact anyway. Differentiable in both. Throws c10::Error if the shapes do
/// not fit. Source: ours.
at::Tensor SpikeConv2d(const at::Tensor& spikes, const at::Tensor& weight,
                       const ConvOptions& options);

struct FiredConv {
  at::Tensor y;  ///< [T*B, O, H', W']
  at::Tensor x;  ///< the input, for a shortcut: its gradient joins the neuron's in one pass
};

/// SpikeConv2d(Lif(x)), with the same numbers, as one function: on the CPU the spikes are bits only
/// and the shortcut's gradient is added while the neuron's is in cache.
///
/// x, lif, spike_count as in Lif, without pooling and same_input; weight, options as in
/// SpikeConv2d. Differentiable in x and weight. Throws c10::Error as both do. Source: ours.
FiredConv FireConv2d(const at::Tensor& x, const at::Tensor& weight, const LifOptions& lif,
                     const ConvOptions& options, const at::Tensor& spike_count = {});

}  // namespace bsnn::trainer
