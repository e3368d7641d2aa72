/// The one door to convolutions, so that products on matrix units can take ATen's place.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/trainer/nn/kernels/binary_conv.h"

namespace bsnn::trainer {

struct ConvOptions {
  int64_t stride = 1;
  int64_t padding = 1;
  bool bf16 = false;  ///< training.precision: operands that are not exact are rounded to bf16
  /// The weight's numbers are powers of two with a sign: then SpikeConv2d is exact on a GPU's
  /// tensor cores, and runs there.
  bool powers_of_two = false;
  /// What takes SpikeConv2d's backward products on the CPU.
  kernels::ProductUnit unit = kernels::ProductUnit::kTables;
};

/// Cross-correlation of x [N, I, H, W] with weight [O, I, k, k], zero padding, no bias; float32,
/// one device, any memory format. Returns [N, O, H', W'] in channels-last memory.
/// With bf16, on other devices than the CPU, both operands, the product and the gradients are
/// rounded to bf16 on their way, as torch.autocast does; on the CPU all stays float32.
/// Differentiable in both. Throws c10::Error if the shapes do not fit.
/// Source: torch.nn.functional.conv2d.
at::Tensor Conv2d(const at::Tensor& x, const at::Tensor& weight, const ConvOptions& options);

/// 2x2 max pooling with stride 2; an odd last row or column is not seen. x [N, C, H, W] float32
/// with H, W >= 2, any device. Returns [N, C, H/2, W/2], channels-last. On spikes it is the logical
/// or. The gradient goes to the first of the largest in row-major order, as in torch.
at::Tensor MaxPool2(const at::Tensor& x);

}  // namespace bsnn::trainer
