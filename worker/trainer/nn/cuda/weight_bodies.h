/// Weights: binarisation and its backward rules, packed signs, moments of gradients:
/// kernels/binarize.h and measure/ for a GPU. Private to nn/cuda.
#pragma once

#include <cmath>

#include "worker/trainer/nn/cuda/executor.h"
#include "worker/trainer/nn/cuda/passes.h"
#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::cuda {

/// The statistics of one output channel's weights by one block, in phases that all bodies share.
struct ChannelStatistics {
  static constexpr int kMeanPhases = 2;
  static constexpr int kPhases = 4;
  static constexpr int kScratch = BlockSum<1>::kScratch + BlockSum<2>::kScratch;

  BinarizeKind kind;
  int64_t n;
  const float* w;

  BSNN_INLINE void Run(int phase, const Place& at, double* scratch) const {
    if (kind == BinarizeKind::kSign) return;
    double* const later = scratch + BlockSum<1>::kScratch * at.threads;
    double sum = 0, square = 0;
    if (phase == 0) {
      for (int64_t i = at.thread; i < n; i += at.threads) {
        sum += static_cast<double>(kind == BinarizeKind::kMeanAbs ? fabsf(w[i]) : w[i]);
      }
      BlockSum<1>::Put(scratch, at, 0, sum);
    } else if (phase == 1) {
      BlockSum<1>::AddParts(scratch, at);
    } else if (phase == 2 && kind == BinarizeKind::kStandardized) {
      const float mean = Mean(scratch, at);
      for (int64_t i = at.thread; i < n; i += at.threads) {
        const double centered = static_cast<double>(w[i] - mean);
        square += centered * centered;
        sum += static_cast<double>(fabsf(w[i] - mean));
      }
      BlockSum<2>::Put(later, at, 0, square);
      BlockSum<2>::Put(later, at, 1, sum);
    } else if (phase == 3 && kind == BinarizeKind::kStandardized) {
      BlockSum<2>::AddParts(later, at);
    }
  }

  /// After kMeanPhases: of the weights, or of their absolute values.
  BSNN_INLINE float Mean(const double* scratch, const Place& at) const {
    return static_cast<float>(BlockSum<1>::Total(scratch, at, 0) / static_cast<double>(n));
  }

  struct Numbers {
    float mean, inverse_std, scale;
  };
  /// After kPhases.
  BSNN_INLINE Numbers Finish(const double* scratch, const Place& at) const {
    if (kind == BinarizeKind::kSign) return {0.0f, 1.0f, 1.0f};
    const float mean = Mean(scratch, at);
    if (kind == BinarizeKind::kMeanAbs) return {0.0f, 1.0f, mean};
    const double* const later = scratch + BlockSum<1>::kScratch * at.threads;
    const double count = static_cast<double>(n);
    const double root = sqrt(BlockSum<2>::Total(later, at, 0) / (count - 1));
    const double deviation = root > 1e-30 ? root : 1e-30;
    const double absolute = BlockSum<2>::Total(later, at, 1) / (deviation * count);
    const double exponent = nearbyint(log2(absolute > 1e-30 ? absolute : 1e-30));
    return {mean, static_cast<float>(1.0 / deviation), static_cast<float>(exp2(exponent))};
  }
};

struct BinarizeBody {
  static constexpr int kPhases = ChannelStatistics::kPhases + 1;
  static constexpr int kScratch = ChannelStatistics::kScratch;
  BinarizePass p;

  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    const float* const w = p.latent + at.block * p.fan_in;
    const ChannelStatistics statistics{p.kind, p.fan_in, w};
    if (phase < ChannelStatistics::kPhases) return statistics.Run(phase, at, scratch);
    const auto s = statistics.Finish(scratch, at);
    float* const out = p.out + at.block * p.fan_in;
    for (int64_t i = at.thread; i < p.fan_in; i += at.threads) {
      out[i] = w[i] - s.mean >= 0 ? s.scale : -s.scale;
    }
  }
};

struct BinarizeBackwardBody {
  static constexpr int kFirst = ChannelStatistics::kPhases;
  static constexpr int kPhases = kFirst + 3;
  static constexpr int kScratch = ChannelStatistics::kScratch + BlockSum<2>::kScratch;
  BinarizePass p;

  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    const int64_t begin = at.block * p.fan_in;
    const float* const w = p.latent + begin;
    const float* const grad = p.grad_effective + begin;
    float* const out = p.out + begin;
    double* const later = scratch + ChannelStatistics::kScratch * at.threads;
    const ChannelStatistics statistics{p.kind, p.fan_in, w};
    if (phase < kFirst) return statistics.Run(phase, at, scratch);
    const auto s = statistics.Finish(scratch, at);
    if (p.kind != BinarizeKind::kStandardized) {
      for (int64_t i = at.thread; phase == kFirst && i < p.fan_in; i += at.threads) {
        out[i] = fabsf(w[i]) <= 1.0f ? grad[i] * s.scale : 0.0f;
      }
      return;
    }
    if (phase == kFirst) {
      SignGradient(s, w, grad, out, at, later);
    } else if (phase == kFirst + 1) {
      BlockSum<2>::AddParts(later, at);
    } else {
      const double count = static_cast<double>(p.fan_in);
      const float mean = static_cast<float>(BlockSum<2>::Total(later, at, 0) / count);
      const float along = static_cast<float>(BlockSum<2>::Total(later, at, 1) / (count - 1));
      for (int64_t i = at.thread; i < p.fan_in; i += at.threads) {
        const float z = (w[i] - s.mean) * s.inverse_std;
        out[i] = (out[i] - mean - z * along) * s.inverse_std;
      }
    }
  }

  BSNN_INLINE void SignGradient(const ChannelStatistics::Numbers& s, const float* w,
                                const float* grad, float* out, const Place& at,
                                double* later) const {
    const float widest = 1.0f / p.sharpness > 1.0f ? 1.0f / p.sharpness : 1.0f;
    const float gain = s.scale * widest * p.sharpness;
    double sum = 0, along = 0;
    for (int64_t i = at.thread; i < p.fan_in; i += at.threads) {
      const float z = (w[i] - s.mean) * s.inverse_std;
      const float e = kernels::ExpOfNegative(-2.0f * fabsf(p.sharpness * z));
      const float g = grad[i] * gain * (4.0f * e / ((1.0f + e) * (1.0f + e)));
      out[i] = g;
      sum += static_cast<double>(g);
      along += static_cast<double>(g) * static_cast<double>(z);
    }
    BlockSum<2>::Put(later, at, 0, sum);
    BlockSum<2>::Put(later, at, 1, along);
  }
};

/// The mean that the sign is taken about, of each channel (0 unless standardized). The same sum as
/// BinarizeBody's: the bits are the deployed signs.
struct CenterBody {
  static constexpr int kPhases = ChannelStatistics::kMeanPhases + 1;
  static constexpr int kScratch = BlockSum<1>::kScratch;
  FlipPass p;

  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    const int64_t begin = at.block * p.fan_in;
    const int64_t n = p.count - begin < p.fan_in ? p.count - begin : p.fan_in;
    const ChannelStatistics statistics{p.kind, n, p.latent + begin};
    if (phase < ChannelStatistics::kMeanPhases) return statistics.Run(phase, at, scratch);
    if (at.thread == 0) p.center[at.block] = statistics.Mean(scratch, at);
  }
};

/// One thread for each word of 64 signs.
struct FlipBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  FlipPass p;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t begin = at.index() * 64;
    int flips = 0;
    if (begin < p.count) {
      const uint64_t word = SignsOf(begin, begin + 64 < p.count ? begin + 64 : p.count);
      const uint64_t changed = word ^ p.signs[at.index()];
      p.signs[at.index()] = word;
      if (p.flipped != nullptr) p.flipped[at.index()] |= changed;
      flips = CountBits(changed);
    }
    if (p.flips != nullptr) AddCount(p.flips, flips);
  }

  BSNN_INLINE uint64_t SignsOf(int64_t begin, int64_t end) const {
    const bool centered = p.kind == BinarizeKind::kStandardized;
    int64_t channel = begin / p.fan_in, next = (channel + 1) * p.fan_in;
    float center = centered ? p.center[channel] : 0.0f;
    uint64_t word = 0;
    for (int64_t i = begin; i < end; ++i) {
      if (i == next) {
        next += p.fan_in;
        ++channel;
        center = centered ? p.center[channel] : 0.0f;
      }
      word |= static_cast<uint64_t>(p.latent[i] - center >= 0 ? 1 : 0) << (i - begin);
    }
    return word;
  }
};

/// Sums and sums of squares: each block of a share, [2, blocks].
struct PartialSquaresBody {
  static constexpr int kPhases = 3;
  static constexpr int kScratch = BlockSum<2>::kScratch;
  MomentsPass p;

  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    if (phase == 0) {
      double sum = 0, square = 0;
      for (int64_t i = at.index(); i < p.count; i += kMomentBlocks * at.threads) {
        const double value = static_cast<double>(p.values[i]);
        sum += value;
        square += value * value;
      }
      BlockSum<2>::Put(scratch, at, 0, sum);
      BlockSum<2>::Put(scratch, at, 1, square);
    } else if (phase == 1) {
      BlockSum<2>::AddParts(scratch, at);
    } else if (at.thread == 0) {
      p.partial[at.block] = BlockSum<2>::Total(scratch, at, 0);
      p.partial[kMomentBlocks + at.block] = BlockSum<2>::Total(scratch, at, 1);
    }
  }
};

/// One block of kMomentBlocks threads adds them up.
struct TotalSquaresBody {
  static constexpr int kPhases = 3;
  static constexpr int kScratch = BlockSum<2>::kScratch;
  MomentsPass p;

  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    if (phase == 0) {
      BlockSum<2>::Put(scratch, at, 0, p.partial[at.thread]);
      BlockSum<2>::Put(scratch, at, 1, p.partial[kMomentBlocks + at.thread]);
    } else if (phase == 1) {
      BlockSum<2>::AddParts(scratch, at);
    } else if (at.thread == 0) {
      p.sums[0] += static_cast<double>(p.count);
      p.sums[1] += BlockSum<2>::Total(scratch, at, 0);
      p.sums[2] += BlockSum<2>::Total(scratch, at, 1);
    }
  }
};

}  // namespace bsnn::trainer::cuda
