/// 2x2 max pooling of spikes inside the neuron's passes: a tile is two rows of pixels, pooled while
/// it is in cache. Private to nn/kernels.
#pragma once

#include <cstdint>

#include "worker/trainer/nn/kernels/lif.h"
#include "worker/trainer/nn/kernels/tile.h"

namespace bsnn::trainer::kernels {

struct PooledTiles {
  bool on;
  int64_t width;  ///< of the unpooled picture
  Tiling tiling;  ///< two rows a tile where `on`; an odd last row is a short tile
  int64_t row;    ///< numbers of one pooled row
  int64_t plane;  ///< numbers of one pooled picture

  explicit PooledTiles(const Activations& shape)
      : on(shape.pooled_width > 0),
        width(shape.pooled_width),
        tiling(on ? Tiling(shape.pixels, shape.channels, 2 * width)
                  : Tiling(shape.pixels, shape.channels)),
        row(width / 2 * shape.channels),
        plane(on ? shape.pixels / width / 2 * row : 0) {}

  /// Where picture n's pooled row of the tile at `begin` lies.
  int64_t Begin(int64_t n, int64_t begin) const { return n * plane + begin / tiling.tile * row; }
};

BSNN_INLINE float Either(float a, float b) { return a > b ? a : b; }

BSNN_INLINE void PoolWindow(const float* __restrict x0, const float* __restrict x1,
                            const float* __restrict x2, const float* __restrict x3,
                            float* __restrict y, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) y[c] = Either(Either(x0[c], x1[c]), Either(x2[c], x3[c]));
}

/// The gradient goes to the first that fired, or to the first of all where none did.
BSNN_INLINE void UnpoolWindow(const float* __restrict u0, const float* __restrict u1,
                              const float* __restrict u2, const float* __restrict u3,
                              float threshold, const float* __restrict grad, float* __restrict g0,
                              float* __restrict g1, float* __restrict g2, float* __restrict g3,
                              int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) {
    const float to1 = u0[c] > threshold ? 0.0f : grad[c];
    const float to2 = u1[c] > threshold ? 0.0f : to1;
    const float to3 = u2[c] > threshold ? 0.0f : to2;
    const float none = u3[c] > threshold ? 0.0f : to3;
    g0[c] = (u0[c] > threshold ? grad[c] : 0.0f) + none;
    g1[c] = u1[c] > threshold ? to1 : 0.0f;
    g2[c] = u2[c] > threshold ? to2 : 0.0f;
    g3[c] = u3[c] > threshold ? to3 : 0.0f;
  }
}

BSNN_INLINE void PoolTile(const PooledTiles& pool, const float* spikes, float* pooled) {
  const int64_t c = pool.tiling.channels, lower = pool.width * c;
  for (int64_t i = 0; i < pool.width / 2; ++i) {
    const float* const x = spikes + 2 * i * c;
    PoolWindow(x, x + c, x + lower, x + lower + c, pooled + i * c, c);
  }
}

/// `grad` gets the gradients of a tile's spikes; an odd last column's are 0.
BSNN_INLINE void UnpoolTile(const PooledTiles& pool, const float* potential, float threshold,
                            const float* grad_pooled, float* grad) {
  const int64_t c = pool.tiling.channels, lower = pool.width * c;
  for (int64_t i = 0; i < pool.width / 2; ++i) {
    const float* const u = potential + 2 * i * c;
    float* const g = grad + 2 * i * c;
    UnpoolWindow(u, u + c, u + lower, u + lower + c, threshold, grad_pooled + i * c, g, g + c,
                 g + lower, g + lower + c, c);
  }
  if (pool.width % 2 != 0) {
    std::fill(grad + lower - c, grad + lower, 0.0f);
    std::fill(grad + 2 * lower - c, grad + 2 * lower, 0.0f);
  }
}

}  // namespace bsnn::trainer::kernels
