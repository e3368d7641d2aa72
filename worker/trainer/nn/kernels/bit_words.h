/// Bits of spikes and signs in 64-bit words. Private to nn/kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

inline constexpr int64_t kWordBits = 64;

BSNN_INLINE int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// 8 bytes, each 0 or 1, as 8 bits, the first lowest.
BSNN_INLINE uint8_t BitsOfBytes(const uint8_t* bytes) {
  uint64_t eight;
  std::memcpy(&eight, bytes, 8);
  return static_cast<uint8_t>(eight * 0x0102040810204080ull >> 56);
}

/// Afterwards bit j of words[i] is what bit i of words[j] was. Source: Warren, Hacker's Delight,
/// 7-3.
BSNN_INLINE void TransposeBits(uint64_t* words) {
  uint64_t mask = 0x00000000FFFFFFFFull;
  for (int width = 32; width != 0; width >>= 1, mask ^= mask << width) {
    for (int at = 0; at < 64; at += 2 * width) {
      for (int i = at; i < at + width; ++i) {
        const uint64_t swap = ((words[i] >> width) ^ words[i + width]) & mask;
        words[i] ^= swap << width;
        words[i + width] ^= swap;
      }
    }
  }
}

/// The window of output pixel (h, w) of one picture's bits. Writes 8 bytes beyond `words` words and
/// reads up to 7 past the window.
BSNN_INLINE void GatherWindow(const BinaryConvShape& s, const uint8_t* picture, int64_t h,
                              int64_t w, uint64_t* words) {
  const int64_t bytes = s.kernel * s.in / 8, total = s.taps() * s.in;
  const uint8_t* const from = picture + h * s.stride * s.bit_row() + w * s.stride * s.in / 8;
  char* const to = reinterpret_cast<char*>(words);
  for (int64_t row = 0; row < s.kernel; ++row) {
    for (int64_t b = 0; b < bytes; b += 8) {
      std::memcpy(to + row * bytes + b, from + row * s.bit_row() + b, 8);
    }
  }
  if (total % kWordBits != 0) words[total / kWordBits] &= (uint64_t{1} << total % kWordBits) - 1;
}

}  // namespace bsnn::trainer::kernels
