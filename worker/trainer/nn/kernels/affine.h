/// The passes over memory that batch normalisation with a gate needs. Torch-free: the CPU truth.
///
/// Activations are [N, P, C] float32, contiguous (lif.h). Functions work on the pictures
/// [first, last) of N; a picture's result does not depend on the share.
#pragma once

#include <cstdint>

namespace bsnn::trainer::kernels {

struct Pictures {
  int64_t pixels = 1;    ///< P
  int64_t channels = 1;  ///< C
};

/// sum[n, c] = sum_p x, square[n, c] = sum_p (x - sum[n, c] / P)^2: two passes over one picture,
/// which stays in cache, so that nothing cancels.
void PictureMoments(const Pictures& shape, const float* x, double* sum, double* square,
                    int64_t first, int64_t last);
/// The same of whole numbers, |x| <= most: one pass, exact sums.
void PictureMoments(const Pictures& shape, const int16_t* x, int64_t most, double* sum,
                    double* square, int64_t first, int64_t last);

// The passes below take x as float or int16_t.

/// y = scale[n, c] x + shift[n, c] (+ residual, where it is not null).
template <class X>
struct AffineForward {
  Pictures shape;
  const X* x = nullptr;
  const float* scale = nullptr;     ///< [N, C]
  const float* shift = nullptr;     ///< [N, C]
  const float* residual = nullptr;  ///< [R, P, C], picture n takes n % R; or null
  int64_t residuals = 0;            ///< R
  float* y = nullptr;
};
void RunAffineForward(const AffineForward<float>& args, int64_t first, int64_t last);
void RunAffineForward(const AffineForward<int16_t>& args, int64_t first, int64_t last);

/// sum_delta[n, c] = sum_p grad, sum_delta_x[n, c] = sum_p grad (x - center[c]).
template <class X>
struct DeltaSums {
  Pictures shape;
  const float* grad = nullptr;
  const X* x = nullptr;
  const float* center = nullptr;  ///< [C]
  double* sum_delta = nullptr;
  double* sum_delta_x = nullptr;
};
void RunDeltaSums(const DeltaSums<float>& args, int64_t first, int64_t last);
void RunDeltaSums(const DeltaSums<int16_t>& args, int64_t first, int64_t last);

/// grad_x = scale[n, c] grad + shift[n, c] + slope[c] (x - center[c]). grad_x may be grad.
template <class X>
struct AffineBackward {
  Pictures shape;
  const float* grad = nullptr;
  const X* x = nullptr;
  const float* scale = nullptr;   ///< [N, C]
  const float* shift = nullptr;   ///< [N, C]
  const float* slope = nullptr;   ///< [C]
  const float* center = nullptr;  ///< [C]
  float* grad_x = nullptr;
};
void RunAffineBackward(const AffineBackward<float>& args, int64_t first, int64_t last);
void RunAffineBackward(const AffineBackward<int16_t>& args, int64_t first, int64_t last);

}  // namespace bsnn::trainer::kernels
