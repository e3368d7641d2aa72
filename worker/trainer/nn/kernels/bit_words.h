/// Bits of spikes and signs in 64-bit words. Private to nn/kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

inline constexpr int64_t kWordBits = 64;

BSNN_INLINE int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// 8 bytes, each 0 or 1, as 8 bits, the first lowest: the product gathers byte b's bit at bit 56 +
/// b, and no two of its terms meet there.
BSNN_INLINE uint8_t BitsOfBytes(const uint8_t* bytes) {
  uint64_t eight;
  std::memcpy(&eight, bytes, 8);
  return static_cast<uint8_t>(eight * 0x0102040810204080ull >> 56);
}

/// 64 bytes, each 0 or 1, as a word.
BSNN_INLINE uint64_t WordOfBytes(const uint8_t* bytes) {
  uint64_t word = 0;
  for (int k = 0; k < kWordBits; k += 8) word |= uint64_t{BitsOfBytes(bytes + k)} << k;
  return word;
}

/// Bit i % 8 of bits[i / 8]: bytes[i], 0 or 1. `count` is a multiple of 8.
BSNN_INLINE void PackBytes(const uint8_t* __restrict bytes, int64_t count,
                           uint8_t* __restrict bits) {
  for (int64_t i = 0; i < count / 8; ++i) bits[i] = BitsOfBytes(bytes + 8 * i);
}

/// Bit i % 8 of bits[i / 8]: whether numbers[i] > 0. `count` is a multiple of 8; `bytes` has as
/// many.
BSNN_INLINE void PackPositive(const float* __restrict numbers, int64_t count,
                              uint8_t* __restrict bytes, uint8_t* __restrict bits) {
  for (int64_t i = 0; i < count; ++i) bytes[i] = numbers[i] > 0.0f;  // compared in vectors
  PackBytes(bytes, count, bits);
}

/// 8 words in one or more registers.
typedef uint64_t Words __attribute__((vector_size(64)));

/// A step of TransposeBits between words that lie whole registers apart.
template <int kWidth>
BSNN_INLINE void SwapAcross(Words* rows, uint64_t mask) {
  constexpr int kApart = kWidth / 8;
  for (int at = 0; at < 8; at += 2 * kApart) {
    for (int i = at; i < at + kApart; ++i) {
      const Words swap = ((rows[i] >> kWidth) ^ rows[i + kApart]) & mask;
      rows[i] ^= swap << kWidth;
      rows[i + kApart] ^= swap;
    }
  }
}

/// A step between words of one register.
template <int kWidth>
BSNN_INLINE void SwapWithin(Words* rows, uint64_t mask) {
  const Words partner = {0 ^ kWidth, 1 ^ kWidth, 2 ^ kWidth, 3 ^ kWidth,
                         4 ^ kWidth, 5 ^ kWidth, 6 ^ kWidth, 7 ^ kWidth};
  const auto second =
      reinterpret_cast<Words>((partner & kWidth) == 0);  // all ones in each pair's second word
  for (int i = 0; i < 8; ++i) {
    const Words other = __builtin_shuffle(rows[i], partner);
    const Words in_first = (rows[i] & mask) | ((other & mask) << kWidth);
    const Words in_second = (rows[i] & ~mask) | ((other >> kWidth) & mask);
    rows[i] = (in_first & ~second) | (in_second & second);
  }
}

/// Afterwards bit j of words[i] is what bit i of words[j] was. words are aligned to 64 bytes.
/// Source: Warren, Hacker's Delight, 7-3, eight words at a time.
BSNN_INLINE void TransposeBits(uint64_t* words) {
  Words rows[8];
  std::memcpy(rows, words, sizeof(rows));
  SwapAcross<32>(rows, 0x00000000FFFFFFFFull);
  SwapAcross<16>(rows, 0x0000FFFF0000FFFFull);
  SwapAcross<8>(rows, 0x00FF00FF00FF00FFull);
  SwapWithin<4>(rows, 0x0F0F0F0F0F0F0F0Full);
  SwapWithin<2>(rows, 0x3333333333333333ull);
  SwapWithin<1>(rows, 0x5555555555555555ull);
  std::memcpy(words, rows, sizeof(rows));
}

/// GatherWindow for a kernel and channels that the compiler knows: no branch is left.
template <int64_t kKernel, int64_t kIn>
BSNN_INLINE void GatherKnownWindow(const uint8_t* from, int64_t row_bytes, int64_t apart,
                                   uint64_t* words) {
  constexpr int64_t kRowBits = kKernel * kIn, kWords = (kKernel * kRowBits + 63) / kWordBits;
#pragma GCC unroll 128
  for (int64_t k = 0; k < kWords; ++k) {
    uint64_t word = 0;
#pragma GCC unroll 8
    for (int64_t row = 0; row < kKernel; ++row) {
      const int64_t at = row * kRowBits - k * kWordBits;  // where the row begins in the word
      if (at >= kWordBits || at + kRowBits <= 0) continue;
      const int64_t before = at < 0 ? -at : 0, to = at < 0 ? 0 : at;
      const int64_t left = kRowBits - before, room = kWordBits - to;
      uint64_t piece;
      std::memcpy(&piece, from + row * row_bytes + before / 8, 8);
      if (left < room) piece &= (uint64_t{1} << left) - 1;
      word |= piece << to;
    }
    words[k * apart] = word;
  }
}

/// The window of output pixel (h, w) of one picture's bits, its word k to words[k * apart]. Reads
/// up to 7 bytes past the window.
BSNN_INLINE void GatherWindow(const BinaryConvShape& s, const uint8_t* picture, int64_t h,
                              int64_t w, int64_t apart, uint64_t* words) {
  const int64_t row_bits = s.kernel * s.in;
  const uint8_t* from = picture + h * s.stride * s.bit_row() + w * s.stride * s.in / 8;
  if (s.kernel == 3 && s.in == 32) return GatherKnownWindow<3, 32>(from, s.bit_row(), apart, words);
  if (s.kernel == 3 && s.in == 64) return GatherKnownWindow<3, 64>(from, s.bit_row(), apart, words);
  if (s.kernel == 3 && s.in == 128) {
    return GatherKnownWindow<3, 128>(from, s.bit_row(), apart, words);
  }
  uint64_t word = 0;  // the one being filled, of whose bits `filled` are there
  int64_t filled = 0;
  for (int64_t row = 0; row < s.kernel; ++row, from += s.bit_row()) {
    for (int64_t bit = 0; bit < row_bits; bit += kWordBits) {
      uint64_t piece;
      std::memcpy(&piece, from + bit / 8, 8);
      const int64_t count = row_bits - bit < kWordBits ? row_bits - bit : kWordBits;
      if (count < kWordBits) piece &= (uint64_t{1} << count) - 1;
      word |= piece << filled;
      if (filled + count < kWordBits) {
        filled += count;
        continue;
      }
      *words = word;
      words += apart;
      word = filled == 0 ? 0 : piece >> (kWordBits - filled);
      filled += count - kWordBits;
    }
  }
  if (filled > 0) *words = word;
}

}  // namespace bsnn::trainer::kernels
