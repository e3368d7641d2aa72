/// Pillow's BILINEAR filter along one line of pixels of 8 bits, to the byte: a triangle as wide as
/// the scale says, rounded to bytes.
#pragma once

#include <cstdint>
#include <vector>

namespace bsnn::trainer {

/// What one output pixel takes of a line of input pixels, in units of 2^-22: weights[0],
/// weights[1] ... of the inputs first, first + 1 ...
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

/// The outputs [from, from + count) of a line of `in` pixels resized to `out`; both at least 1.
std::vector<Taps> MakeTaps(int64_t in, int64_t out, int64_t from, int64_t count);

/// One output pixel of the line whose pixels lie `stride` bytes apart from `in` on.
uint8_t Weigh(const Taps& taps, const uint8_t* in, int64_t stride);

}  // namespace bsnn::trainer
