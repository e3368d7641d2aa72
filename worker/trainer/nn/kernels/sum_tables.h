/// Sums of 64 real numbers, each with a sign or picked by a bit, from tables of all sums of a few
/// of them; for 16 lanes at once. Private to nn/kernels/binary_conv_grad.cc.
#pragma once

#include <algorithm>
#include <cstdint>

#include "worker/trainer/nn/kernels/clones.h"
#include "worker/trainer/nn/kernels/lanes.h"

namespace bsnn::trainer::kernels {

inline constexpr int64_t kReals = 64;  ///< numbers under one set of tables: one word picks

/// Tables for `kBits` numbers each, 5 or 6. More take fewer look-ups, but longer to write, as a
/// processor stores half as fast as it loads.
template <int kBits>
struct SumTables {
  static constexpr int64_t kPatterns = int64_t{1} << kBits;
  static constexpr int64_t For(int64_t reals) { return (reals + kBits - 1) / kBits; }
  static constexpr int64_t kCount = For(kReals);
};
inline constexpr int64_t kMostLanes = SumTables<6>::kCount * SumTables<6>::kPatterns;
/// Room for the numbers of any set; those behind kReals are 0.
inline constexpr int64_t kPaddedReals = kReals + 8;

/// sums[p] = the sum of reals[0 .. kCount - 1], each with a sign (bit 1: plus), or each that its
/// bit in p picks.
template <bool kSigned, int kCount>
BSNN_INLINE void AllSums(const Lanes* reals, Lanes* sums) {
  sums[0] = kSigned ? -reals[0] : Lanes{};
  sums[1] = reals[0];
  for (int b = 1; b < kCount; ++b) {
    for (int p = 0; p < 1 << b; ++p) {
      sums[p | 1 << b] = sums[p] + reals[b];
      if (kSigned) sums[p] = sums[p] - reals[b];
    }
  }
}

/// out[k * kPatterns + p] = the sum that p makes of the k-th kBits numbers, as AllSums.
template <bool kSigned, int kBits>
BSNN_INLINE void BuildTables(const Lanes* __restrict reals, int64_t tables, Lanes* __restrict out) {
  constexpr int kLow = 3;  // each of a table's sums is one addition of two smaller ones
  constexpr int64_t kPatterns = SumTables<kBits>::kPatterns;
  for (int64_t k = 0; k < tables; ++k, reals += kBits, out += kPatterns) {
    Lanes low[1 << kLow], high[1 << (kBits - kLow)];
    AllSums<kSigned, kLow>(reals, low);
    AllSums<kSigned, kBits - kLow>(reals + kLow, high);
#pragma GCC unroll 64  // so that the smaller sums stay in registers
    for (int64_t p = 0; p < kPatterns; ++p) out[p] = low[p % (1 << kLow)] + high[p >> kLow];
  }
}

/// The sum that `word` picks from kCount tables. In two halves, so that additions overlap.
template <int kBits, int64_t kCount>
BSNN_INLINE Lanes LookUp(const Lanes* tables, uint64_t word) {
  const char* const base = reinterpret_cast<const char*>(tables);
  constexpr int64_t kPatterns = SumTables<kBits>::kPatterns;
  constexpr int kSizeBits = 6;  // sizeof(Lanes) = 1 << kSizeBits
  constexpr uint64_t kMask = static_cast<uint64_t>(kPatterns - 1) << kSizeBits;
  Lanes even = {}, odd = {};
#pragma GCC unroll 16
  for (int k = 0; k < kCount; ++k) {
    // A table's bits of the word as an offset in bytes: one shift and one mask.
    const int bit = kBits * k;
    const uint64_t shifted =
        bit < kSizeBits ? word << (kSizeBits - bit) : word >> (bit - kSizeBits);
    const auto& sum =
        *reinterpret_cast<const Lanes*>(base + (k * kPatterns << kSizeBits) + (shifted & kMask));
    if (k % 2 == 0) {
      even = k == 0 ? sum : even + sum;
    } else {
      odd = k == 1 ? sum : odd + sum;
    }
  }
  return even + odd;
}

template <int kBits, int64_t kCount>
BSNN_INLINE void AddSums(const Lanes* __restrict tables, const uint64_t* __restrict words,
                         int64_t count, Lanes* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += LookUp<kBits, kCount>(tables, words[i]);
}

/// How many tables a set of `reals` numbers takes: one of three, so that AddSums' loops are known.
template <int kBits>
BSNN_INLINE int64_t TablesUsed(int64_t reals) {
  using Tables = SumTables<kBits>;
  if (reals <= kReals / 4) return Tables::For(kReals / 4);
  return reals <= kReals / 2 ? Tables::For(kReals / 2) : Tables::kCount;
}

/// sums[i] += the sum that words[i] picks, i < count. `used` is TablesUsed's.
template <int kBits>
BSNN_INLINE void AddUsedSums(const Lanes* tables, int64_t used, const uint64_t* words,
                             int64_t count, Lanes* sums) {
  using Tables = SumTables<kBits>;
  constexpr int64_t kQuarter = Tables::For(kReals / 4), kHalf = Tables::For(kReals / 2);
  if (used == kQuarter) return AddSums<kBits, kQuarter>(tables, words, count, sums);
  if (used == kHalf) return AddSums<kBits, kHalf>(tables, words, count, sums);
  AddSums<kBits, Tables::kCount>(tables, words, count, sums);
}

typedef float Four __attribute__((vector_size(16)));
typedef float UnalignedFour __attribute__((vector_size(16), aligned(4), may_alias));

BSNN_INLINE Four LoadFour(const float* from) {
  return *reinterpret_cast<const UnalignedFour*>(from);
}

/// to[column * to_stride + row] = scale[column] from[row * from_stride + column], 4 by 4.
BSNN_INLINE void Transpose4(const float* from, int64_t from_stride, Four scale, float* to,
                            int64_t to_stride) {
  typedef int Index __attribute__((vector_size(16)));
  const Four a = LoadFour(from) * scale;
  const Four b = LoadFour(from + from_stride) * scale;
  const Four c = LoadFour(from + 2 * from_stride) * scale;
  const Four d = LoadFour(from + 3 * from_stride) * scale;
  const Four ab = __builtin_shuffle(a, b, Index{0, 4, 1, 5});
  const Four cd = __builtin_shuffle(c, d, Index{0, 4, 1, 5});
  const Four ab2 = __builtin_shuffle(a, b, Index{2, 6, 3, 7});
  const Four cd2 = __builtin_shuffle(c, d, Index{2, 6, 3, 7});
  const Four columns[] = {__builtin_shuffle(ab, cd, Index{0, 1, 4, 5}),
                          __builtin_shuffle(ab, cd, Index{2, 3, 6, 7}),
                          __builtin_shuffle(ab2, cd2, Index{0, 1, 4, 5}),
                          __builtin_shuffle(ab2, cd2, Index{2, 3, 6, 7})};
  for (int64_t i = 0; i < 4; ++i)
    *reinterpret_cast<UnalignedFour*>(to + i * to_stride) = columns[i];
}

}  // namespace bsnn::trainer::kernels
