/// Sums of 64 real numbers, each with a sign or picked by a bit, from tables of all sums of 4; for
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
inline constexpr int64_t kPatterns = 16;
inline constexpr int64_t kTables = kReals / 4;

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

/// tables[16 k + p] = the sum of reals[4k .. 4k + 3], each with a sign (bit 1: plus), or each that
/// its bit in p picks.
template <bool kSigned>
BSNN_INLINE void BuildTables(const Lanes* __restrict reals, int64_t tables, Lanes* __restrict out) {
  for (int64_t k = 0; k < tables; ++k) {
    const Lanes* const r = reals + 4 * k;
    Lanes low[4], high[4];
    low[3] = r[0] + r[1];
    high[3] = r[2] + r[3];
    if constexpr (kSigned) {
      low[1] = r[0] - r[1], low[2] = -low[1], low[0] = -low[3];
      high[1] = r[2] - r[3], high[2] = -high[1], high[0] = -high[3];
    } else {
      low[0] = Lanes{}, low[1] = r[0], low[2] = r[1];
      high[0] = Lanes{}, high[1] = r[2], high[2] = r[3];
    }
    for (int64_t i = 0; i < kPatterns; ++i) out[kPatterns * k + i] = low[i % 4] + high[i / 4];
  }
}

/// The sum that `word` picks from kCount tables. In two halves, so that additions overlap.
template <int kCount>
BSNN_INLINE Lanes LookUp(const Lanes* tables, uint64_t word) {
  const char* const base = reinterpret_cast<const char*>(tables);
  Lanes even = {}, odd = {};
#pragma GCC unroll 16
  for (int k = 0; k < kCount; ++k) {
    // Four bits of the word as an offset in bytes: one shift and one mask.
    const uint64_t shifted = k < 2 ? word << (6 - 4 * k) : word >> (4 * k - 6);
    const auto& sum = *reinterpret_cast<const Lanes*>(
        base + k * kPatterns * static_cast<int64_t>(sizeof(Lanes)) + (shifted & 0x3C0));
    if (k % 2 == 0) {
      even = k == 0 ? sum : even + sum;
    } else {
      odd = k == 1 ? sum : odd + sum;
    }
  }
  return even + odd;
}

template <int kCount>
BSNN_INLINE void AddSums(const Lanes* __restrict tables, const uint64_t* __restrict words,
                         int64_t count, Lanes* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += LookUp<kCount>(tables, words[i]);
}

/// How many tables a set of `reals` numbers takes: 4, 8 or 16.
BSNN_INLINE int64_t TablesFor(int64_t reals) { return reals <= 16 ? 4 : reals <= 32 ? 8 : 16; }

/// sums[i] += the sum that words[i] picks, i < count. `used` is TablesFor's.
BSNN_INLINE void AddSums(const Lanes* tables, int64_t used, const uint64_t* words, int64_t count,
                         Lanes* sums) {
  if (used == 4) return AddSums<4>(tables, words, count, sums);
  if (used == 8) return AddSums<8>(tables, words, count, sums);
  AddSums<16>(tables, words, count, sums);
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
