#include "worker/trainer/nn/kernels/affine.h"

#include <limits>
#include <vector>

#include "worker/trainer/nn/kernels/clones.h"
#include "worker/trainer/nn/kernels/lanes.h"
#include "worker/trainer/nn/kernels/tile.h"

namespace bsnn::trainer::kernels {
namespace {

BSNN_INLINE void AddTile(const float* __restrict x, float* __restrict sum, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sum[i] += x[i];
}

BSNN_INLINE void AddSquares(const float* __restrict x, const float* __restrict mean,
                            float* __restrict sum, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sum[i] += (x[i] - mean[i]) * (x[i] - mean[i]);
}

template <class X>
BSNN_INLINE void AddProducts(const float* __restrict grad, const X* __restrict x,
                             const float* __restrict center, float* __restrict sum,
                             float* __restrict sum_x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    sum[i] += grad[i];
    sum_x[i] += grad[i] * (static_cast<float>(x[i]) - center[i]);
  }
}

template <class X>
BSNN_INLINE void MapTile(const X* __restrict x, const float* __restrict scale,
                         const float* __restrict shift, float* __restrict y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<float>(x[i]) * scale[i] + shift[i];
  }
}

template <class X>
BSNN_INLINE void MapTileAdding(const X* __restrict x, const float* __restrict scale,
                               const float* __restrict shift, const float* __restrict residual,
                               float* __restrict y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    y[i] = static_cast<float>(x[i]) * scale[i] + shift[i] + residual[i];
  }
}

template <class X>
BSNN_INLINE void BackTile(const float* grad, const X* __restrict x, const float* __restrict scale,
                          const float* __restrict shift, const float* __restrict slope,
                          const float* __restrict center, float* grad_x, int64_t count) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    grad_x[i] = grad[i] * scale[i] + shift[i] + slope[i] * (static_cast<float>(x[i]) - center[i]);
  }
}

}  // namespace

BSNN_CLONES void PictureMoments(const Pictures& shape, const float* x, double* sum, double* square,
                                int64_t first, int64_t last) {
  const Tiling tiling(shape.pixels, shape.channels);
  std::vector<float> lanes(tiling.tile), mean(shape.channels), means(tiling.tile);
  for (int64_t n = first; n < last; ++n) {
    const float* const picture = x + n * tiling.plane;
    double* const sums = sum + n * shape.channels;
    std::fill(lanes.begin(), lanes.end(), 0.0f);
    for (int64_t begin = 0; begin < tiling.plane; begin += tiling.tile) {
      AddTile(picture + begin, lanes.data(), std::min(tiling.tile, tiling.plane - begin));
    }
    Fold(lanes.data(), tiling, sums);
    for (int64_t c = 0; c < shape.channels; ++c) {
      mean[c] = static_cast<float>(sums[c] / static_cast<double>(shape.pixels));
    }
    Repeat(mean.data(), tiling, means.data());
    std::fill(lanes.begin(), lanes.end(), 0.0f);
    for (int64_t begin = 0; begin < tiling.plane; begin += tiling.tile) {
      AddSquares(picture + begin, means.data(), lanes.data(),
                 std::min(tiling.tile, tiling.plane - begin));
    }
    Fold(lanes.data(), tiling, square + n * shape.channels);
  }
}

namespace {

/// Exact sums of x and x^2 over one picture. `tiles`: as many as int32 sums cannot overflow in.
BSNN_INLINE void AddWholeNumbers(const int16_t* x, const Tiling& tiling, int64_t tiles,
                                 std::vector<int32_t>& lanes, std::vector<int32_t>& squares,
                                 double* sum, double* square) {
  std::fill_n(sum, tiling.channels, 0.0);
  std::fill_n(square, tiling.channels, 0.0);
  for (int64_t begin = 0; begin < tiling.plane; begin += tiles * tiling.tile) {
    std::fill(lanes.begin(), lanes.end(), 0);
    std::fill(squares.begin(), squares.end(), 0);
    const int64_t end = std::min(tiling.plane, begin + tiles * tiling.tile);
    for (int64_t at = begin; at < end; at += tiling.tile) {
      const int16_t* __restrict const from = x + at;
      int32_t* __restrict const to = lanes.data();
      int32_t* __restrict const squared = squares.data();
      const int64_t count = std::min(tiling.tile, end - at);
      for (int64_t i = 0; i < count; ++i) {
        to[i] += from[i];
        squared[i] += int32_t{from[i]} * from[i];
      }
    }
    for (int64_t i = 0; i < tiling.tile; i += tiling.channels) {
      for (int64_t c = 0; c < tiling.channels; ++c) {
        sum[c] += lanes[i + c];
        square[c] += squares[i + c];
      }
    }
  }
}

}  // namespace

BSNN_CLONES void PictureMoments(const Pictures& shape, const int16_t* x, int64_t most, double* sum,
                                double* square, int64_t first, int64_t last) {
  const Tiling tiling(shape.pixels, shape.channels);
  const int64_t tiles = std::max<int64_t>(1, std::numeric_limits<int32_t>::max() / (most * most));
  std::vector<int32_t> lanes(tiling.tile), squares(tiling.tile);
  for (int64_t n = first; n < last; ++n) {
    double* const sums = sum + n * shape.channels;
    double* const moments = square + n * shape.channels;
    AddWholeNumbers(x + n * tiling.plane, tiling, tiles, lanes, squares, sums, moments);
    for (int64_t c = 0; c < shape.channels; ++c) {
      moments[c] -= sums[c] * sums[c] / static_cast<double>(shape.pixels);
    }
  }
}

namespace {

template <class X>
BSNN_INLINE void MapPictures(const AffineForward<X>& a, int64_t first, int64_t last) {
  const Tiling tiling(a.shape.pixels, a.shape.channels);
  std::vector<float> scale(tiling.tile), shift(tiling.tile);
  for (int64_t n = first; n < last; ++n) {
    Repeat(a.scale + n * tiling.channels, tiling, scale.data());
    Repeat(a.shift + n * tiling.channels, tiling, shift.data());
    for (int64_t begin = 0; begin < tiling.plane; begin += tiling.tile) {
      const int64_t at = n * tiling.plane + begin;
      const int64_t count = std::min(tiling.tile, tiling.plane - begin);
      if (a.residual != nullptr) {
        const float* const residual = a.residual + n % a.residuals * tiling.plane + begin;
        MapTileAdding(a.x + at, scale.data(), shift.data(), residual, a.y + at, count);
      } else {
        MapTile(a.x + at, scale.data(), shift.data(), a.y + at, count);
      }
    }
  }
}

}  // namespace

BSNN_CLONES void RunAffineForward(const AffineForward<float>& a, int64_t first, int64_t last) {
  MapPictures(a, first, last);
}

BSNN_CLONES void RunAffineForward(const AffineForward<int16_t>& a, int64_t first, int64_t last) {
  MapPictures(a, first, last);
}

namespace {

BSNN_INLINE Lanes Load(const float* from) { return *reinterpret_cast<const UnalignedLanes*>(from); }

BSNN_INLINE Lanes Load(const int16_t* from) {
  typedef int16_t Shorts __attribute__((vector_size(32), aligned(2), may_alias));
  typedef int32_t Whole __attribute__((vector_size(64)));
  const auto whole = __builtin_convertvector(*reinterpret_cast<const Shorts*>(from), Whole);
  return __builtin_convertvector(whole, Lanes);
}

/// The sums of kBlocks times 16 channels over `pixels`, in registers: arrays in memory may come to
/// lie a page apart, where a processor takes a store to the one for a store to the other.
template <int kBlocks, class X>
BSNN_INLINE void AddProducts16(const float* grad, const X* x, const float* center, int64_t pixels,
                               int64_t stride, double* sum, double* sum_x) {
  Lanes middle[kBlocks], lanes[kBlocks], lanes_x[kBlocks];
  for (int b = 0; b < kBlocks; ++b) {
    middle[b] = Load(center + 16 * b);
    lanes[b] = lanes_x[b] = Lanes{};
  }
  for (int64_t p = 0; p < pixels; ++p) {
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
      const Lanes g = Load(grad + p * stride + 16 * b);
      lanes[b] += g;
      lanes_x[b] += g * (Load(x + p * stride + 16 * b) - middle[b]);
    }
  }
  for (int64_t i = 0; i < 16 * kBlocks; ++i) {
    sum[i] += static_cast<double>(lanes[i / 16][i % 16]);
    sum_x[i] += static_cast<double>(lanes_x[i / 16][i % 16]);
  }
}

/// Where the channels are a multiple of 16 kBlocks.
template <int kBlocks, class X>
BSNN_INLINE void DeltaSums16(const DeltaSums<X>& a, int64_t n) {
  constexpr int64_t kPixels = 32;  // that float32 sums up
  const int64_t channels = a.shape.channels;
  double* const sum = a.sum_delta + n * channels;
  double* const sum_x = a.sum_delta_x + n * channels;
  std::fill(sum, sum + channels, 0.0);
  std::fill(sum_x, sum_x + channels, 0.0);
  for (int64_t p = 0; p < a.shape.pixels; p += kPixels) {
    const int64_t at = (n * a.shape.pixels + p) * channels;
    for (int64_t c = 0; c < channels; c += 16 * kBlocks) {
      AddProducts16<kBlocks>(a.grad + at + c, a.x + at + c, a.center + c,
                             std::min(kPixels, a.shape.pixels - p), channels, sum + c, sum_x + c);
    }
  }
}

template <class X>
BSNN_INLINE void SumPictures(const DeltaSums<X>& a, int64_t first, int64_t last) {
  const Tiling tiling(a.shape.pixels, a.shape.channels);
  std::vector<float> center(tiling.tile), sum(tiling.tile), sum_x(tiling.tile);
  Repeat(a.center, tiling, center.data());
  for (int64_t n = first; n < last; ++n) {
    if (tiling.channels % 64 == 0) {
      DeltaSums16<4>(a, n);
      continue;
    }
    if (tiling.channels % 32 == 0) {
      DeltaSums16<2>(a, n);
      continue;
    }
    std::fill(sum.begin(), sum.end(), 0.0f);
    std::fill(sum_x.begin(), sum_x.end(), 0.0f);
    for (int64_t begin = 0; begin < tiling.plane; begin += tiling.tile) {
      const int64_t at = n * tiling.plane + begin;
      AddProducts(a.grad + at, a.x + at, center.data(), sum.data(), sum_x.data(),
                  std::min(tiling.tile, tiling.plane - begin));
    }
    Fold(sum.data(), tiling, a.sum_delta + n * tiling.channels);
    Fold(sum_x.data(), tiling, a.sum_delta_x + n * tiling.channels);
  }
}

template <class X>
BSNN_INLINE void MapGradients(const AffineBackward<X>& a, int64_t first, int64_t last) {
  const Tiling tiling(a.shape.pixels, a.shape.channels);
  std::vector<float> scale(tiling.tile), shift(tiling.tile), slope(tiling.tile),
      center(tiling.tile);
  Repeat(a.slope, tiling, slope.data());
  Repeat(a.center, tiling, center.data());
  for (int64_t n = first; n < last; ++n) {
    Repeat(a.scale + n * tiling.channels, tiling, scale.data());
    Repeat(a.shift + n * tiling.channels, tiling, shift.data());
    for (int64_t begin = 0; begin < tiling.plane; begin += tiling.tile) {
      const int64_t at = n * tiling.plane + begin;
      BackTile(a.grad + at, a.x + at, scale.data(), shift.data(), slope.data(), center.data(),
               a.grad_x + at, std::min(tiling.tile, tiling.plane - begin));
    }
  }
}

}  // namespace

BSNN_CLONES void RunDeltaSums(const DeltaSums<float>& a, int64_t first, int64_t last) {
  SumPictures(a, first, last);
}

BSNN_CLONES void RunDeltaSums(const DeltaSums<int16_t>& a, int64_t first, int64_t last) {
  SumPictures(a, first, last);
}

BSNN_CLONES void RunAffineBackward(const AffineBackward<float>& a, int64_t first, int64_t last) {
  MapGradients(a, first, last);
}

BSNN_CLONES void RunAffineBackward(const AffineBackward<int16_t>& a, int64_t first, int64_t last) {
  MapGradients(a, first, last);
}

}  // namespace bsnn::trainer::kernels
