/// The trainer's fused operations on a CUDA device: what nn/neuron.h, batch_norm.h and binarize.h
/// promise, and what measure/ counts, by the passes of passes.h. In a build without CUDA the same
/// code runs on CPU tensors, one pass's thread after the other: for tests alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "worker/trainer/nn/batch_norm.h"
#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/neuron.h"

namespace bsnn::trainer::cuda {

/// Before training starts, for the whole process. Without `fused`, separate ATen operations do the
/// work, for comparison. Also has cuDNN take algorithms whose results repeat, and float32 numbers
/// as they are in all products but SpikeConv2d's.
void SetUp(bool fused);

/// Whether the fused operations take this tensor's work: it is on a CUDA device, and they are on.
bool Serves(const at::Tensor& tensor);

/// As trainer::Lif, arguments checked.
at::Tensor Lif(const at::Tensor& x, const LifOptions& options, const at::Tensor& spike_count);

/// As trainer::NormGateFire, arguments checked; not for a gate of |X| or by pixel.
at::Tensor NormGateFire(const at::Tensor& x, const BatchNorm& norm, const NormCall& call);

/// As trainer::Conv2d of spikes with a binary weight, on the tensor cores. Both are TF32 numbers as
/// they are, so the product is exact but for float32 sums; a gradient enters as the sum of two TF32
/// numbers (error below 2^-20 of it), or with options.bf16 as one (2^-10).
///
/// spikes [N, I, H, W], small whole numbers. weight [O, I, k, k], zeros or powers of two with signs
/// (Binarize, but not mean_abs).
at::Tensor SpikeConv2d(const at::Tensor& spikes, const at::Tensor& weight,
                       const ConvOptions& options);

/// As trainer::Binarize, arguments checked.
at::Tensor Binarize(const at::Tensor& latent, spec::Binarization method, double sharpness);

/// As PackSigns (weight_layer.h) into `signs` int64 [words] on the weight's device; where `flipped`
/// [words] and `flips` [1], both int64, are defined, the bits that changed are or-ed and their
/// number is added there.
void PackSigns(const at::Tensor& latent, std::optional<spec::Binarization> method,
               const at::Tensor& signs, const at::Tensor& flipped, const at::Tensor& flips);

/// sums float64 [3] += count, sum and sum of squares of `values` float32, all on one device.
void AddMoments(const at::Tensor& values, const at::Tensor& sums);

}  // namespace bsnn::trainer::cuda
