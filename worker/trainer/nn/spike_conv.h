/// Convolutions of spikes with binary weights.
#pragma once

#include <ATen/core/Tensor.h>

#include "spec/job_spec.h"
#include "worker/trainer/nn/conv.h"

namespace bsnn::trainer {

/// What takes a job's backward products on this CPU: its matrix unit where it has one that serves
/// and the job lets it.
kernels::ProductUnit ProductUnitFor(spec::Products products);

/// Conv2d of spikes with a binary weight, by bits and tables of sums, or a matrix unit's tiles, on
/// the CPU (kernels/binary_conv.h), where I is a multiple of 8; on a CUDA device's tensor cores
/// (cuda/ops.h), where options.powers_of_two; else by Conv2d.
///
/// spikes [N, I, H, W] float32, exactly 0 or 1. weight [O, I, k, k] float32, contiguous, exactly
/// -scale_o or +scale_o with scale_o > 0 (Binarize).
/// Returns [N, O, H', W'] in channels-last memory: whole numbers times scale_o, rounded once. The
/// gradients are sums of float32 in an order that the shape and options.unit alone decide, whatever
/// the threads; with tiles, of gradients as two bf16 numbers (kernels/tile_products.h).
/// With bf16, dL/dy is rounded to bf16 (to the nearest, ties to even) where it enters a product:
/// the other operand is exact anyway. Differentiable in both. Throws c10::Error if the shapes do
/// not fit. Source: ours.
at::Tensor SpikeConv2d(const at::Tensor& spikes, const at::Tensor& weight,
                       const ConvOptions& options);

}  // namespace bsnn::trainer
