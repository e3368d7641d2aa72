#include "worker/trainer/nn/kernels/pool.h"

#include <algorithm>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {
namespace {

BSNN_INLINE float Larger(float a, float b) { return a > b ? a : b; }

/// The four pixels of one window, each `channels` numbers.
BSNN_INLINE void PoolWindow(const float* __restrict x0, const float* __restrict x1,
                            const float* __restrict x2, const float* __restrict x3,
                            float* __restrict y, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) y[c] = Larger(Larger(x0[c], x1[c]), Larger(x2[c], x3[c]));
}

BSNN_INLINE void PoolWindowBackward(const float* __restrict x0, const float* __restrict x1,
                                    const float* __restrict x2, const float* __restrict x3,
                                    const float* __restrict grad, float* __restrict g0,
                                    float* __restrict g1, float* __restrict g2,
                                    float* __restrict g3, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) {
    const float largest = Larger(Larger(x0[c], x1[c]), Larger(x2[c], x3[c]));
    float rest = grad[c];
    g0[c] = x0[c] == largest ? rest : 0.0f;
    rest = x0[c] == largest ? 0.0f : rest;
    g1[c] = x1[c] == largest ? rest : 0.0f;
    rest = x1[c] == largest ? 0.0f : rest;
    g2[c] = x2[c] == largest ? rest : 0.0f;
    g3[c] = x2[c] == largest ? 0.0f : rest;
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
        const float* const x0 = upper + c * step;
        PoolWindow(x0, x0 + shape.channels, x0 + row, x0 + row + shape.channels,
                   out + c * shape.channels, shape.channels);
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
        const float* const x0 = x + upper + c * step;
        float* const g0 = grad_x + upper + c * step;
        PoolWindowBackward(x0, x0 + shape.channels, x0 + row, x0 + row + shape.channels,
                           grad + c * shape.channels, g0, g0 + shape.channels, g0 + row,
                           g0 + row + shape.channels, shape.channels);
      }
    }
  }
}

BSNN_CLONES void RunAveragePool(const PoolShape& shape, const float* x, float* y, int64_t first,
                                int64_t last) {
  const int64_t rows = (shape.height + 1) / 2, columns = (shape.width + 1) / 2;
  const int64_t channels = shape.channels, row = shape.width * channels;
  for (int64_t out = first * rows; out < last * rows; ++out) {
    const int64_t n = out / rows, h = out % rows * 2;
    const float* const upper = x + (n * shape.height + h) * row;
    const bool high = h + 1 < shape.height;
    for (int64_t w = 0; w < columns; ++w) {
      const bool wide = 2 * w + 1 < shape.width;
      const float share = 1.0f / static_cast<float>((high ? 2 : 1) * (wide ? 2 : 1));  // exact
      const float* __restrict from = upper + 2 * w * channels;
      float* __restrict to = y + (out * columns + w) * channels;
      if (high && wide) {
        for (int64_t c = 0; c < channels; ++c) {
          const float upper_sum = from[c] + from[c + channels];
          to[c] = share * (upper_sum + from[c + row] + from[c + row + channels]);
        }
      } else {
        const int64_t other = high ? row : wide ? channels : 0;
        for (int64_t c = 0; c < channels; ++c) {
          to[c] = share * (other != 0 ? from[c] + from[c + other] : from[c]);
        }
      }
    }
  }
}

BSNN_CLONES void RunAveragePoolBackward(const PoolShape& shape, const float* grad_y, float* grad_x,
                                        int64_t first, int64_t last) {
  const int64_t rows = (shape.height + 1) / 2, columns = (shape.width + 1) / 2;
  for (int64_t row = first * shape.height; row < last * shape.height; ++row) {
    const int64_t n = row / shape.height, h = row % shape.height;
    const int64_t high = std::min<int64_t>(2, shape.height - h / 2 * 2);
    for (int64_t w = 0; w < shape.width; ++w) {
      const int64_t wide = std::min<int64_t>(2, shape.width - w / 2 * 2);
      const float share = 1.0f / static_cast<float>(high * wide);  // exact: 1, 1/2 or 1/4
      const float* __restrict from =
          grad_y + ((n * rows + h / 2) * columns + w / 2) * shape.channels;
      float* __restrict to = grad_x + (row * shape.width + w) * shape.channels;
      for (int64_t c = 0; c < shape.channels; ++c) to[c] = share * from[c];
    }
  }
}

}  // namespace bsnn::trainer::kernels
