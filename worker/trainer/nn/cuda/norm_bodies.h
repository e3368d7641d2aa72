/// Batch normalisation with a gate: the passes over memory (kernels/affine.h). Private to nn/cuda.
#pragma once

#include "worker/trainer/nn/cuda/lanes.h"
#include "worker/trainer/nn/cuda/passes.h"

namespace bsnn::trainer::cuda {

/// Of each lane, the mean and the sum of squares about it: [2, N, S, C]. Squares are taken about
/// the lane's first number, so that little cancels.
template <int V>
struct MomentsBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  Lanes lanes;
  int64_t pictures;
  const float* x;
  float* partial;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const Lane<V> lane(at, lanes, pictures);
    if (!lane.active) return;
    const float* const picture = x + lane.picture * lanes.plane;
    const Pack<V> first = Load<V>(picture + lane.first);
    Pack<V> sum{}, square{};
    for (int64_t i = lane.first + lanes.width(); i < lanes.plane; i += lanes.width()) {
      const Pack<V> value = Load<V>(picture + i);
      BSNN_UNROLL
      for (int j = 0; j < V; ++j) {
        const float offset = value.v[j] - first.v[j];
        sum.v[j] += offset;
        square.v[j] += offset * offset;
      }
    }
    const float count = static_cast<float>(lanes.PixelsOf(lane.first / lanes.channels));
    BSNN_UNROLL
    for (int j = 0; j < V; ++j) {
      const float offset = sum.v[j] / count;
      square.v[j] -= sum.v[j] * offset;
      sum.v[j] = first.v[j] + offset;
    }
    const int64_t place = lane.picture * lanes.width() + lane.first;
    Store<V>(partial + place, sum);
    Store<V>(partial + pictures * lanes.width() + place, square);
  }
};

/// One thread for each picture and channel: from lanes to sum_p x and sum_p (x - mean)^2.
struct FoldMomentsBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  Lanes lanes;
  int64_t pictures;
  const float* partial;
  double* sum;
  double* square;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t n = at.index() / lanes.channels, c = at.index() % lanes.channels;
    if (n >= pictures) return;
    const float* const means = partial + n * lanes.width() + c;
    const float* const squares = means + pictures * lanes.width();
    double total = 0, within = 0, between = 0;
    for (int64_t s = 0; s < lanes.strips; ++s) {
      total +=
          static_cast<double>(lanes.PixelsOf(s)) * static_cast<double>(means[s * lanes.channels]);
      within += static_cast<double>(squares[s * lanes.channels]);
    }
    const double mean = total / static_cast<double>(lanes.plane / lanes.channels);
    for (int64_t s = 0; s < lanes.strips; ++s) {
      const double offset = static_cast<double>(means[s * lanes.channels]) - mean;
      between += static_cast<double>(lanes.PixelsOf(s)) * offset * offset;
    }
    sum[at.index()] = total;
    square[at.index()] = within + between;
  }
};

template <int V>
struct AffineBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  Lanes lanes;
  int64_t pictures;
  AffinePass a;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const Lane<V> lane(at, lanes, pictures);
    if (!lane.active) return;
    const int64_t begin = lane.picture * lanes.plane;
    const Pack<V> scale = Load<V>(a.scale + lane.picture * lanes.channels + lane.channel);
    const Pack<V> shift = Load<V>(a.shift + lane.picture * lanes.channels + lane.channel);
    for (int64_t i = begin + lane.first; i < begin + lanes.plane; i += lanes.width()) {
      const Pack<V> x = Load<V>(a.x + i);
      Pack<V> y, residual{};
      if (a.residual != nullptr) residual = Load<V>(a.residual + i);
      BSNN_UNROLL
      for (int j = 0; j < V; ++j) y.v[j] = x.v[j] * scale.v[j] + shift.v[j] + residual.v[j];
      Store<V>(a.y + i, y);
    }
  }
};

template <int V>
struct DeltaSumsBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  Lanes lanes;
  int64_t pictures;
  DeltaSumsPass a;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const Lane<V> lane(at, lanes, pictures);
    if (!lane.active) return;
    const int64_t begin = lane.picture * lanes.plane;
    const Pack<V> center = Load<V>(a.center + lane.channel);
    Pack<V> sum{}, sum_x{};
    for (int64_t i = begin + lane.first; i < begin + lanes.plane; i += lanes.width()) {
      const Pack<V> grad = Load<V>(a.grad + i), x = Load<V>(a.x + i);
      BSNN_UNROLL
      for (int j = 0; j < V; ++j) {
        sum.v[j] += grad.v[j];
        sum_x.v[j] += grad.v[j] * (x.v[j] - center.v[j]);
      }
    }
    const int64_t place = lane.picture * lanes.width() + lane.first;
    Store<V>(a.sum_delta + place, sum);
    Store<V>(a.sum_delta_x + place, sum_x);
  }
};

/// One thread for each picture and channel: both partial sums added up, [2, N, C].
struct FoldSumsBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  int64_t entries, channels, strips;
  const float* partial;
  double* sums;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t n = at.index() / channels, c = at.index() % channels;
    if (at.index() >= entries) return;
    const float* const first = partial + n * strips * channels + c;
    const float* const second = first + entries * strips;
    double sum = 0, sum_x = 0;
    for (int64_t s = 0; s < strips; ++s) {
      sum += static_cast<double>(first[s * channels]);
      sum_x += static_cast<double>(second[s * channels]);
    }
    sums[at.index()] = sum;
    sums[entries + at.index()] = sum_x;
  }
};

template <int V>
struct SplitBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  SplitPass p;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t i = at.index() * V;
    if (i >= p.count) return;
    const Pack<V> value = Load<V>(p.values + i);
    Pack<V> high, low;
    BSNN_UNROLL
    for (int j = 0; j < V; ++j) {
      high.v[j] = Truncated(value.v[j]);
      low.v[j] = value.v[j] - high.v[j];
    }
    Store<V>(p.high + i, high);
    Store<V>(p.low + i, low);
  }
  BSNN_INLINE static float Truncated(float value) {
#ifdef __CUDA_ARCH__
    return __int_as_float(__float_as_int(value) & ~0x1fff);
#else
    return std::bit_cast<float>(std::bit_cast<int32_t>(value) & ~0x1fff);
#endif
  }
};

/// grad_x = scale delta + shift + slope (x - center).
template <int V>
struct AffineBackwardBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  Lanes lanes;
  int64_t pictures;
  const float* delta;
  const float* x;
  const float* scale;
  const float* shift;
  const float* slope;
  const float* center;
  float* grad_x;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const Lane<V> lane(at, lanes, pictures);
    if (!lane.active) return;
    const int64_t begin = lane.picture * lanes.plane;
    const int64_t row = lane.picture * lanes.channels + lane.channel;
    const Pack<V> scales = Load<V>(scale + row), shifts = Load<V>(shift + row);
    const Pack<V> slopes = Load<V>(slope + lane.channel), centers = Load<V>(center + lane.channel);
    for (int64_t i = begin + lane.first; i < begin + lanes.plane; i += lanes.width()) {
      const Pack<V> g = Load<V>(delta + i), value = Load<V>(x + i);
      Pack<V> out;
      BSNN_UNROLL
      for (int j = 0; j < V; ++j) {
        out.v[j] = g.v[j] * scales.v[j] + shifts.v[j] + slopes.v[j] * (value.v[j] - centers.v[j]);
      }
      Store<V>(grad_x + i, out);
    }
  }
};

}  // namespace bsnn::trainer::cuda
