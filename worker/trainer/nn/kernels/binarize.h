/// Weight binarisation and its backward rules over raw memory. Torch-free: the CPU truth.
#pragma once

#include <cstdint>

#include "spec/job_spec.h"

namespace bsnn::trainer::kernels {

/// Latent weights [O, F] float32, row-major: F = I*k*k numbers an output channel, F >= 2 where the
/// method is `standardized`. Functions work on the channels [first, last).
struct BinarizeShape {
  spec::Binarization method = spec::Binarization::kStandardized;
  int64_t fan_in = 1;      ///< F
  float sharpness = 1.0f;  ///< t of the standardised backward rule
};

/// effective = scale_o sign(.); see nn/binarize.h.
void RunBinarize(const BinarizeShape& shape, const float* latent, float* effective, int64_t first,
                 int64_t last);

/// grad_latent from grad_effective, by the straight-through rule of the method.
void RunBinarizeBackward(const BinarizeShape& shape, const float* latent,
                         const float* grad_effective, float* grad_latent, int64_t first,
                         int64_t last);

/// Bits of the deployed signs, as PackSigns in nn/weight_layer.h. `count` weights in all.
void PackSignBits(const BinarizeShape& shape, const float* latent, int64_t count, uint64_t* words);

/// Bits that differ between `now` and `before`: returns how many, and sets them in `flipped`. Then
/// `before` is `now`.
int64_t NoteFlips(const uint64_t* now, int64_t words, uint64_t* before, uint64_t* flipped);

}  // namespace bsnn::trainer::kernels
