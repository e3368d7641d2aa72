#include "worker/trainer/nn/kernels/pool.h"

#include <algorithm>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {
namespace {

BSNN_INLINE float Larger(float a, float b) { return a > b ? a : b; }

BSNN_INLINE void PoolPixel(const float* __restrict upper, const float* __restrict lower,
                           float* __restrict y, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) {
    y[c] = Larger(Larger(upper[c], upper[c + channels]), Larger(lower[c], lower[c + channels]));
  }
}

BSNN_INLINE void PoolPixelBackward(const float* __restrict upper, const float* __restrict lower,
                                   const float* __restrict grad, float* __restrict grad_upper,
                                   float* __restrict grad_lower, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) {
    const float x0 = upper[c], x1 = upper[c + channels], x2 = lower[c], x3 = lower[c + channels];
    const float largest = Larger(Larger(x0, x1), Larger(x2, x3));
    const float g = grad[c];
    grad_upper[c] = x0 == largest ? g : 0.0f;
    grad_upper[c + channels] = (x0 != largest) & (x1 == largest) ? g : 0.0f;
    grad_lower[c] = (x0 != largest) & (x1 != largest) & (x2 == largest) ? g : 0.0f;
    grad_lower[c + channels] = (x0 != largest) & (x1 != largest) & (x2 != largest) ? g : 0.0f;
  }
}

}  // namespace

BSNN_CLONES void RunMaxPool(const PoolShape& shape, const float* x, float* y, int64_t first,
                            int64_t last) {
  const int64_t row = shape.width * shape.channels, rows = shape.height / 2,
                columns = shape.width / 2, step = 2 * shape.channels;
  for (int64_t n = first; n < last; ++n) {
    for (int64_t r = 0; r < rows; ++r) {
      const float* const upper = x + (n * shape.height + 2 * r) * row;
      float* const out = y + (n * rows + r) * columns * shape.channels;
      for (int64_t c = 0; c < columns; ++c) {
        PoolPixel(upper + c * step, upper + row + c * step, out + c * shape.channels,
                  shape.channels);
      }
    }
  }
}

BSNN_CLONES void RunMaxPoolBackward(const PoolShape& shape, const float* x, const float* grad_y,
                                    float* grad_x, int64_t first, int64_t last) {
  const int64_t row = shape.width * shape.channels, rows = shape.height / 2,
                columns = shape.width / 2, step = 2 * shape.channels;
  const bool odd = shape.height % 2 != 0 || shape.width % 2 != 0;
  for (int64_t n = first; n < last; ++n) {
    const int64_t picture = n * shape.height * row;
    if (odd) std::fill(grad_x + picture, grad_x + picture + shape.height * row, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t upper = picture + 2 * r * row;
      const float* const grad = grad_y + (n * rows + r) * columns * shape.channels;
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t at = upper + c * step;
        PoolPixelBackward(x + at, x + at + row, grad + c * shape.channels, grad_x + at,
                          grad_x + at + row, shape.channels);
      }
    }
  }
}

}  // namespace bsnn::trainer::kernels
