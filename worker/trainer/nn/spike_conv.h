/// Convolutions of spikes with binary weights.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/trainer/nn/conv.h"

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

}  // namespace bsnn::trainer
