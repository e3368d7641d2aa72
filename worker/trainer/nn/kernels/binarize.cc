#include "worker/trainer/nn/kernels/binarize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/trainer/nn/kernels/bit_words.h"
#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {
namespace {

using spec::Binarization;

constexpr int kLanes = 16;

/// Sum of term(i) for i in [0, count), in float64, over fixed lanes.
template <class Term>
BSNN_INLINE double Sum(int64_t count, const Term& term) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += term(i + l);
  }
  double sum = 0;
  for (; i < count; ++i) sum += term(i);
  for (const double lane : lanes) sum += lane;
  return sum;
}

struct Standard {
  float mean;
  float inverse_std;
  float scale;  ///< 2^round(log2 mean|z|)
};

BSNN_INLINE float MeanOf(const float* w, int64_t n) {
  return static_cast<float>(Sum(n, [w](int64_t i) { return static_cast<double>(w[i]); }) /
                            static_cast<double>(n));
}

BSNN_INLINE Standard Standardize(const float* w, int64_t n) {
  const float mean = MeanOf(w, n);
  const double square = Sum(n, [w, mean](int64_t i) {
    const double centered = static_cast<double>(w[i] - mean);
    return centered * centered;
  });
  // A channel of equal weights has no spread: its z is then 0 and its scale the smallest there is.
  const double deviation = std::max(std::sqrt(square / static_cast<double>(n - 1)), 1e-30);
  const double absolute =
      Sum(n, [w, mean](int64_t i) { return static_cast<double>(std::fabs(w[i] - mean)); });
  const double exponent =
      std::nearbyint(std::log2(std::max(absolute / (deviation * static_cast<double>(n)), 1e-30)));
  return {mean, static_cast<float>(1.0 / deviation), static_cast<float>(std::exp2(exponent))};
}

BSNN_INLINE float MeanAbsolute(const float* w, int64_t n) {
  return static_cast<float>(
      Sum(n, [w](int64_t i) { return static_cast<double>(std::fabs(w[i])); }) /
      static_cast<double>(n));
}

BSNN_INLINE void StandardBackward(const float* w, const float* grad, float* out, int64_t n,
                                  float sharpness) {
  const Standard s = Standardize(w, n);
  const float gain = s.scale * std::max(1.0f / sharpness, 1.0f) * sharpness;
  for (int64_t i = 0; i < n; ++i) {  // gz: 1 - tanh^2(x) = 4 e / (1 + e)^2, e = exp(-2|x|)
    const float e = ExpOfNegative(-2.0f * std::fabs(sharpness * ((w[i] - s.mean) * s.inverse_std)));
    out[i] = grad[i] * gain * (4.0f * e / ((1.0f + e) * (1.0f + e)));
  }
  const float mean = static_cast<float>(
      Sum(n, [out](int64_t i) { return static_cast<double>(out[i]); }) / static_cast<double>(n));
  const float along =
      static_cast<float>(Sum(n,
                             [w, out, s](int64_t i) {
                               return static_cast<double>(out[i]) *
                                      static_cast<double>((w[i] - s.mean) * s.inverse_std);
                             }) /
                         static_cast<double>(n - 1));
  for (int64_t i = 0; i < n; ++i) {
    const float z = (w[i] - s.mean) * s.inverse_std;
    out[i] = (out[i] - mean - z * along) * s.inverse_std;
  }
}

/// Sets bit i % 64 of words[i / 64] where w[i] >= center, for i in [begin, end).
BSNN_INLINE void PackBits(const float* w, int64_t begin, int64_t end, float center,
                          uint64_t* words) {
  const auto bit = [w, center](int64_t i) { return static_cast<uint64_t>(w[i] - center >= 0); };
  int64_t i = begin;
  for (; i < end && i % 64 != 0; ++i) words[i / 64] |= bit(i) << (i % 64);
  for (; i + 64 <= end; i += 64) {
    alignas(64) uint8_t bytes[64];  // 0 or 1, compared in vectors
    for (int k = 0; k < 64; ++k) bytes[k] = static_cast<uint8_t>(w[i + k] - center >= 0);
    words[i / 64] |= WordOfBytes(bytes);
  }
  for (; i < end; ++i) words[i / 64] |= bit(i) << (i % 64);
}

}  // namespace

BSNN_CLONES void RunBinarize(const BinarizeShape& shape, const float* latent, float* effective,
                             int64_t first, int64_t last) {
  const int64_t n = shape.fan_in;
  for (int64_t o = first; o < last; ++o) {
    const float* const w = latent + o * n;
    float* const out = effective + o * n;
    float center = 0, scale = 1;
    if (shape.method == Binarization::kMeanAbs) scale = MeanAbsolute(w, n);
    if (shape.method == Binarization::kStandardized) {
      const Standard s = Standardize(w, n);
      center = s.mean;
      scale = s.scale;
    }
    for (int64_t i = 0; i < n; ++i) out[i] = w[i] - center >= 0 ? scale : -scale;
  }
}

BSNN_CLONES void RunBinarizeBackward(const BinarizeShape& shape, const float* latent,
                                     const float* grad_effective, float* grad_latent, int64_t first,
                                     int64_t last) {
  const int64_t n = shape.fan_in;
  for (int64_t o = first; o < last; ++o) {
    const float* const w = latent + o * n;
    const float* const grad = grad_effective + o * n;
    float* const out = grad_latent + o * n;
    if (shape.method == Binarization::kStandardized) {
      StandardBackward(w, grad, out, n, shape.sharpness);
      continue;
    }
    const float scale = shape.method == Binarization::kMeanAbs ? MeanAbsolute(w, n) : 1.0f;
    for (int64_t i = 0; i < n; ++i) out[i] = std::fabs(w[i]) <= 1.0f ? grad[i] * scale : 0.0f;
  }
}

BSNN_CLONES void PackSignBits(const BinarizeShape& shape, const float* latent, int64_t count,
                              uint64_t* words) {
  std::fill(words, words + (count + 63) / 64, uint64_t{0});
  if (shape.method != Binarization::kStandardized) return PackBits(latent, 0, count, 0.0f, words);
  for (int64_t begin = 0; begin < count; begin += shape.fan_in) {
    const int64_t end = std::min(count, begin + shape.fan_in);
    PackBits(latent, begin, end, MeanOf(latent + begin, end - begin), words);
  }
}

BSNN_CLONES int64_t NoteFlips(const uint64_t* now, int64_t words, uint64_t* before,
                              uint64_t* flipped) {
  int64_t flips = 0;
  for (int64_t w = 0; w < words; ++w) {
    const uint64_t changed = now[w] ^ before[w];
    flips += std::popcount(changed);
    flipped[w] |= changed;
    before[w] = now[w];
  }
  return flips;
}

}  // namespace bsnn::trainer::kernels
