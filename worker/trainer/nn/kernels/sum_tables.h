/// Sums of 64 real numbers, each with a sign or picked by a bit, from tables of all sums of a few
/// of them; for 16 lanes at once. Private to nn/kernels/binary_conv_grad.cc.
#pragma once

#include <cstdint>

#include "worker/trainer/nn/kernels/clones.h"
#include "worker/trainer/nn/kernels/lanes.h"

namespace bsnn::trainer::kernels {

inline constexpr int64_t kReals = 64;  ///< numbers under one set of tables: one word picks

/// A set of tables over 5 kFives + 6 kSixes numbers: the first of 5 numbers each, then those of 6.
/// More numbers to a table take fewer look-ups, but longer to write, as a processor stores half as
/// fast as it loads, and more of the first cache.
template <int kFives, int kSixes>
struct SumTables {
  static constexpr int kCount = kFives + kSixes;
  static constexpr int Bits(int table) { return table < kFives ? 5 : 6; }
  /// Numbers in front of a table.
  static constexpr int Numbers(int table) {
    return 5 * (table < kFives ? table : kFives) + 6 * (table < kFives ? 0 : table - kFives);
  }
  /// Sums in front of a table.
  static constexpr int64_t Sums(int table) {
    return 32 * (table < kFives ? table : kFives) + 64 * (table < kFives ? 0 : table - kFives);
  }
};
using QuarterTables = SumTables<2, 1>;  ///< of 16 numbers
using HalfTables = SumTables<4, 2>;     ///< of 32
using WholeTables = SumTables<2, 9>;    ///< of 64
inline constexpr int64_t kMostLanes = WholeTables::Sums(WholeTables::kCount);

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

/// `tables` tables of kBits numbers each: out[(k << kBits) + p] = the sum that p makes of the k-th
/// kBits numbers, as AllSums.
template <bool kSigned, int kBits>
BSNN_INLINE void BuildTables(const Lanes* __restrict reals, int tables, Lanes* __restrict out) {
  constexpr int kLow = 3;  // each of a table's sums is one addition of two smaller ones
  constexpr int64_t kPatterns = int64_t{1} << kBits;
  for (int k = 0; k < tables; ++k, reals += kBits, out += kPatterns) {
    Lanes low[1 << kLow], high[1 << (kBits - kLow)];
    AllSums<kSigned, kLow>(reals, low);
    AllSums<kSigned, kBits - kLow>(reals + kLow, high);
#pragma GCC unroll 64  // so that the smaller sums stay in registers
    for (int64_t p = 0; p < kPatterns; ++p) out[p] = low[p % (1 << kLow)] + high[p >> kLow];
  }
}

template <bool kSigned, int kFives, int kSixes>
BSNN_INLINE void Build(SumTables<kFives, kSixes> t, const Lanes* reals, Lanes* out) {
  BuildTables<kSigned, 5>(reals, kFives, out);
  BuildTables<kSigned, 6>(reals + t.Numbers(kFives), kSixes, out + t.Sums(kFives));
}

/// The sum that `word` picks from all tables. In two halves, so that additions overlap.
template <class Tables>
BSNN_INLINE Lanes LookUp(Tables t, const Lanes* tables, uint64_t word) {
  const char* const base = reinterpret_cast<const char*>(tables);
  constexpr int kSizeBits = 6;  // sizeof(Lanes) = 1 << kSizeBits
  Lanes even = {}, odd = {};
#pragma GCC unroll 16
  for (int k = 0; k < t.kCount; ++k) {
    // A table's bits of the word as an offset in bytes: one shift and one mask.
    const int bit = t.Numbers(k);
    const uint64_t mask = ((uint64_t{1} << t.Bits(k)) - 1) << kSizeBits;
    const uint64_t shifted =
        bit < kSizeBits ? word << (kSizeBits - bit) : word >> (bit - kSizeBits);
    const auto& sum =
        *reinterpret_cast<const Lanes*>(base + (t.Sums(k) << kSizeBits) + (shifted & mask));
    if (k % 2 == 0) {
      even = k == 0 ? sum : even + sum;
    } else {
      odd = k == 1 ? sum : odd + sum;
    }
  }
  return even + odd;
}

/// sums[i] += the sum that words[i] picks, i < count.
template <class Tables>
BSNN_INLINE void AddSums(Tables t, const Lanes* __restrict tables, const uint64_t* __restrict words,
                         int64_t count, Lanes* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += LookUp(t, tables, words[i]);
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
