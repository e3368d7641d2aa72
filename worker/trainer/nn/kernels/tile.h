/// Channels-last data cut into tiles of whole pixels, so that inner loops run flat over memory
/// while per-channel values repeat with the channel. Private to nn/kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

struct Tiling {
  int64_t channels;
  int64_t plane;  ///< P * C: numbers of one picture at one step
  int64_t tile;   ///< numbers of a full tile, a multiple of C

  Tiling(int64_t pixels, int64_t channel_count)
      : channels(channel_count),
        plane(pixels * channel_count),
        tile(std::min(plane, channel_count * std::max<int64_t>(1, 1024 / channel_count))) {}

  /// Tiles of `tile_pixels` pixels.
  Tiling(int64_t pixels, int64_t channel_count, int64_t tile_pixels)
      : channels(channel_count), plane(pixels * channel_count), tile(tile_pixels * channel_count) {}
};

/// out[i] = values[i % channels] for one tile.
BSNN_INLINE void Repeat(const float* values, const Tiling& tiling, float* out) {
  for (int64_t i = 0; i < tiling.tile; i += tiling.channels) {
    std::copy(values, values + tiling.channels, out + i);
  }
}

/// sums[c] = sum of lanes[i] with i % channels == c. In order, in float64.
BSNN_INLINE void Fold(const float* lanes, const Tiling& tiling, double* sums) {
  std::fill(sums, sums + tiling.channels, 0.0);
  for (int64_t i = 0; i < tiling.tile; i += tiling.channels) {
    for (int64_t c = 0; c < tiling.channels; ++c) sums[c] += static_cast<double>(lanes[i + c]);
  }
}

}  // namespace bsnn::trainer::kernels
