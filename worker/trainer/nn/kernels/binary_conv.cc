#include "worker/trainer/nn/kernels/binary_conv.h"

#include <algorithm>
#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "worker/trainer/nn/kernels/bit_words.h"

namespace bsnn::trainer::kernels {
namespace {

int64_t PaddedOut(const BinaryConvShape& s) { return DivideUp(s.out, 8) * 8; }

}  // namespace

BinaryWeights::BinaryWeights(const BinaryConvShape& s)
    : scale(PaddedOut(s)),
      forward(s.words() * PaddedOut(s)),
      back(DivideUp(s.out, kOutputBlock) * s.words() * kWordBits) {}

BSNN_CLONES void PackBinaryWeights(const BinaryConvShape& s, const float* weight,
                                   BinaryWeights& out, int64_t first, int64_t last) {
  const int64_t padded = PaddedOut(s), taps = s.taps(), fan_in = taps * s.in, words = s.words();
  std::vector<uint8_t> signs(words * kWordBits);
  std::vector<uint64_t> block(words * kOutputBlock);  // [words, output]
  for (int64_t b = first; b < last; ++b) {
    const int64_t count = std::min(kOutputBlock, s.out - b * kOutputBlock);
    std::fill(block.begin(), block.end(), 0);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t o = b * kOutputBlock + i;
      const float* const w = weight + o * fan_in;
      out.scale[o] = std::fabs(w[0]);
      for (int64_t c = 0; c < s.in; ++c) {
        for (int64_t tap = 0; tap < taps; ++tap) signs[tap * s.in + c] = w[c * taps + tap] > 0.0f;
      }
      for (int64_t k = 0; k < words; ++k) {
        const uint64_t word = WordOfBytes(signs.data() + k * kWordBits);
        block[k * kOutputBlock + i] = word;
        out.forward[k * padded + o] = word;
      }
    }
    for (int64_t k = 0; k < words; ++k) {
      TransposeBits(block.data() + k * kOutputBlock);
      std::copy_n(block.data() + k * kOutputBlock, kWordBits,
                  out.back.data() + (b * words + k) * kWordBits);
    }
  }
}

BSNN_CLONES void PackSpikes(const BinaryConvShape& s, const float* spikes, uint8_t* bits,
                            int64_t first, int64_t last) {
  const int64_t row = s.width * s.in;
  std::vector<uint8_t> bytes(row);
  for (int64_t n = first; n < last; ++n) {
    uint8_t* const picture = bits + n * s.bit_picture();
    std::fill(picture, picture + s.bit_picture(), uint8_t{0});
    for (int64_t h = 0; h < s.height; ++h) {
      const float* const from = spikes + (n * s.height + h) * row;
      uint8_t* const to = picture + (h + s.padding) * s.bit_row() + s.padding * s.in / 8;
      PackPositive(from, row, bytes.data(), to);
    }
  }
}

namespace {

constexpr int64_t kPixels = 4;  // output pixels worked on together

/// counts [kPixels, O] of kPixels windows.
using Product = void (*)(const BinaryWeights& weights, const uint64_t* windows, int64_t words,
                         int64_t out, int16_t* counts);

BSNN_CLONES void ProductPlain(const BinaryWeights& weights, const uint64_t* windows, int64_t words,
                              int64_t out, int16_t* counts) {
  const int64_t padded = DivideUp(out, 8) * 8;
  for (int64_t p = 0; p < kPixels; ++p) {
    const uint64_t* const window = windows + p * words;
    int64_t spikes = 0;
    for (int64_t k = 0; k < words; ++k) spikes += __builtin_popcountll(window[k]);
    for (int64_t o = 0; o < padded; o += 4) {
      int64_t count[4] = {};
      for (int64_t k = 0; k < words; ++k) {
        const uint64_t* const signs = weights.forward.data() + k * padded + o;
        for (int i = 0; i < 4; ++i) count[i] += __builtin_popcountll(window[k] & signs[i]);
      }
      for (int64_t i = 0; i < std::min<int64_t>(4, out - o); ++i) {
        counts[p * out + o + i] = static_cast<int16_t>(2 * count[i] - spikes);
      }
    }
  }
}

#if defined(__x86_64__)

#define BSNN_POPCNT_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512vpopcntdq,popcnt")))

BSNN_POPCNT_TARGET inline __m512i CountMatches(__m512i signs, uint64_t window) {
  const __m512i spikes = _mm512_set1_epi64(static_cast<int64_t>(window));
  return _mm512_popcnt_epi64(_mm512_and_si512(signs, spikes));
}

/// 8 outputs a register: the whole of a product is and, count, add.
BSNN_POPCNT_TARGET void ProductAvx512(const BinaryWeights& weights, const uint64_t* windows,
                                      int64_t words, int64_t out, int16_t* counts) {
  const int64_t padded = DivideUp(out, 8) * 8;
  __m512i spikes[kPixels];
  for (int64_t p = 0; p < kPixels; ++p) {
    int64_t count = 0;
    for (int64_t k = 0; k < words; ++k) count += __builtin_popcountll(windows[p * words + k]);
    spikes[p] = _mm512_set1_epi64(count);
  }
  for (int64_t o = 0; o < padded; o += 8) {
    __m512i count[kPixels] = {};
    for (int64_t k = 0; k < words; ++k) {
      const __m512i signs = _mm512_loadu_si512(weights.forward.data() + k * padded + o);
#pragma GCC unroll 4
      for (int64_t p = 0; p < kPixels; ++p) {
        count[p] = _mm512_add_epi64(count[p], CountMatches(signs, windows[p * words + k]));
      }
    }
    const auto mask = static_cast<__mmask8>((1u << std::min<int64_t>(8, out - o)) - 1);
#pragma GCC unroll 4
    for (int64_t p = 0; p < kPixels; ++p) {
      const __m512i sum = _mm512_sub_epi64(_mm512_slli_epi64(count[p], 1), spikes[p]);
      _mm_mask_storeu_epi16(counts + p * out + o, mask, _mm512_cvtepi64_epi16(sum));
    }
  }
}

#endif

Product BestProduct() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vpopcntdq")) {
    return ProductAvx512;
  }
#endif
  return ProductPlain;
}

}  // namespace

void RunBinaryConv(const BinaryConvShape& s, const BinaryWeights& weights, const uint8_t* bits,
                   int16_t* counts, int64_t first, int64_t last) {
  static const Product product = BestProduct();
  const int64_t words = s.words(), pixels = s.out_pixels();
  std::vector<uint64_t> windows(kPixels * words);
  std::vector<int16_t> rest(kPixels * s.out);
  for (int64_t n = first; n < last; ++n) {
    const uint8_t* const picture = bits + n * s.bit_picture();
    int16_t* const to = counts + n * pixels * s.out;
    int64_t h = 0, w = 0;
    for (int64_t begin = 0; begin < pixels; begin += kPixels) {
      const int64_t count = std::min(kPixels, pixels - begin);
      for (int64_t p = 0; p < count; ++p) {
        GatherWindow(s, picture, h, w, 1, windows.data() + p * words);
        if (++w == s.out_width()) w = 0, ++h;
      }
      int16_t* const into = count == kPixels ? to + begin * s.out : rest.data();
      product(weights, windows.data(), words, s.out, into);
      if (count < kPixels) std::copy_n(rest.data(), count * s.out, to + begin * s.out);
    }
  }
}

BSNN_CLONES void ScaleCounts(const BinaryConvShape& s, const BinaryWeights& weights,
                             const int16_t* counts, int64_t pixels, float* y) {
  for (int64_t p = 0; p < pixels; ++p, counts += s.out, y += s.out) {
    const float* const scale = weights.scale.data();
    for (int64_t o = 0; o < s.out; ++o) y[o] = static_cast<float>(counts[o]) * scale[o];
  }
}

}  // namespace bsnn::trainer::kernels
