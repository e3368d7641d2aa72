/// Binary weights from latent ones.
#pragma once

#include <ATen/core/Tensor.h>

#include "spec/job_spec.h"

namespace bsnn::trainer {

/// The effective weight scale_o sign(.) of each output channel o, with sign(0) = +1:
///   sign          sign(w)
///   mean_abs      mean_o|w| sign(w)
///   standardized  2^round(log2 mean_o|z|) sign(z), z = (w - mean_o) / std_o (sample deviation)
///
/// latent     [O, I, k, k] float32, any device.
/// sharpness  > 0, dimensionless: t of the standardised backward rule; unused by the others.
/// Returns the same shape; exactly -scale_o or +scale_o.
/// Gradient: scales carry none. sign, mean_abs: straight through where |w| <= 1. standardized:
/// sign'(z) = k t (1 - tanh^2(t z)), k = max(1/t, 1), through z's mean and deviation too.
/// Throws c10::Error if the shape or dtype is another.
/// Source: Rastegari et al., XNOR-Net, ECCV 2016 (mean_abs); Qin et al., IR-Net, CVPR 2020, and
/// Q-SNN (standardized); science.md §1.2. sign(0) = +1 is BSO's, theirs gives 0.
at::Tensor Binarize(const at::Tensor& latent, spec::Binarization method, double sharpness);

/// A weight in 8 bits: codes round(w / scale) from -127 to 127, scale = max|w| / 127 of the whole
/// tensor. Source: Q-SNN's ends (science.md §1.4), which take max(w) for max|w|, so that very
/// negative weights need more than 8 bits; ours fit.
struct Int8Weight {
  at::Tensor codes;  ///< float32 whole numbers, the weight's shape; no -0
  at::Tensor scale;  ///< float32 scalar
};

/// weight  float32 of any shape, any device. Without gradient.
Int8Weight ToInt8(const at::Tensor& weight);

/// codes times scale of ToInt8. Returns the weight's shape. Gradient: straight through.
at::Tensor RoundToInt8(const at::Tensor& weight);

}  // namespace bsnn::trainer
