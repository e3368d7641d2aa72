/// Sums of 64 real numbers, each with a sign or picked by a bit, from tables of all sums of 5; for
/// 16 lanes at once. Private to nn/kernels/binary_conv_grad.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

/// 16 floats in one or more registers, as wide as the processor has them.
typedef float Lanes __attribute__((vector_size(64)));
typedef float UnalignedLanes __attribute__((vector_size(64), aligned(4), may_alias));

inline constexpr int64_t kReals = 64;  ///< numbers under one set of tables: one word picks

/// Numbers under one table. More take fewer look-ups, but tables that take longer to write (a
/// processor stores half as fast as it loads) and no longer fit the first cache.
inline constexpr int kTableReals = 5;
inline constexpr int64_t kPatterns = int64_t{1} << kTableReals;
constexpr int64_t TablesFor(int64_t reals) { return (reals + kTableReals - 1) / kTableReals; }
inline constexpr int64_t kTables = TablesFor(kReals);
inline constexpr int64_t kPaddedReals = kTables * kTableReals;  ///< those behind kReals are 0

/// Uninitialised memory, aligned for Lanes.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : data_(static_cast<T*>(
            ::operator new (static_cast<size_t>(count) * sizeof(T), std::align_val_t{64}))) {}
  ~Scratch() { ::operator delete (data_, std::align_val_t{64}); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() { return data_; }
  T& operator[](int64_t i) { return data_[i]; }

 private:
  T* data_;
};

/// Rounded to bf16's 8 significant bits, to the nearest, ties to even; infinities stay.
BSNN_INLINE void RoundToBf16(Lanes* numbers, int64_t count) {
  typedef uint32_t Bits __attribute__((vector_size(64)));
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = reinterpret_cast<Bits>(numbers[i]);
    const Bits rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    numbers[i] = reinterpret_cast<Lanes>(rounded);
  }
}

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

/// out[k * kPatterns + p] = the sum that p makes of the k-th kTableReals numbers, as AllSums.
template <bool kSigned>
BSNN_INLINE void BuildTables(const Lanes* __restrict reals, int64_t tables, Lanes* __restrict out) {
  constexpr int kLow = 3;  // 8 sums and 4, of which each of the 32 is made by one addition
  for (int64_t k = 0; k < tables; ++k, reals += kTableReals, out += kPatterns) {
    Lanes low[1 << kLow], high[1 << (kTableReals - kLow)];
    AllSums<kSigned, kLow>(reals, low);
    AllSums<kSigned, kTableReals - kLow>(reals + kLow, high);
    for (int64_t p = 0; p < kPatterns; ++p) out[p] = low[p % (1 << kLow)] + high[p >> kLow];
  }
}

/// The sum that `word` picks from kCount tables. In two halves, so that additions overlap.
template <int64_t kCount>
BSNN_INLINE Lanes LookUp(const Lanes* tables, uint64_t word) {
  const char* const base = reinterpret_cast<const char*>(tables);
  constexpr int kSizeBits = 6;  // sizeof(Lanes) = 1 << kSizeBits
  constexpr uint64_t kMask = static_cast<uint64_t>(kPatterns - 1) << kSizeBits;
  Lanes even = {}, odd = {};
#pragma GCC unroll 16
  for (int k = 0; k < kCount; ++k) {
    // A table's bits of the word as an offset in bytes: one shift and one mask.
    const int bit = kTableReals * k;
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

template <int64_t kCount>
BSNN_INLINE void AddSums(const Lanes* __restrict tables, const uint64_t* __restrict words,
                         int64_t count, Lanes* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += LookUp<kCount>(tables, words[i]);
}

inline constexpr int64_t kQuarter = TablesFor(kReals / 4);
inline constexpr int64_t kHalf = TablesFor(kReals / 2);
/// How many tables a set of `reals` numbers takes: one of three, so that AddSums' loops are known.
BSNN_INLINE int64_t TablesUsed(int64_t reals) {
  return reals <= kReals / 4 ? kQuarter : reals <= kReals / 2 ? kHalf : kTables;
}

/// sums[i] += the sum that words[i] picks, i < count. `used` is TablesUsed's.
BSNN_INLINE void AddSums(const Lanes* tables, int64_t used, const uint64_t* words, int64_t count,
                         Lanes* sums) {
  if (used == kQuarter) return AddSums<kQuarter>(tables, words, count, sums);
  if (used == kHalf) return AddSums<kHalf>(tables, words, count, sums);
  AddSums<kTables>(tables, words, count, sums);
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
