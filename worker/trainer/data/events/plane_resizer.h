/// Square planes of bytes, made smaller or larger.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bsnn::trainer {

/// As Pillow's Image.resize with BILINEAR does for pictures of 8 bits, to the byte: a triangle as
/// wide as the scale says, along rows and then along columns, rounded to bytes after each.
/// Immutable.
class PlaneResizer {
 public:
  /// Both sides at least 1.
  PlaneResizer(int64_t side_in, int64_t side_out);

  /// `in` has side_in^2 bytes and `out` side_out^2, row-major; they do not overlap.
  void Run(std::span<const uint8_t> in, std::span<uint8_t> out) const;

 private:
  /// What makes one pixel of the output: weights[0], weights[1] ... of inputs first, first + 1 ...
  struct Taps {
    int64_t first = 0;
    std::vector<int32_t> weights;  ///< in units of 2^-22
  };

  const int64_t side_in_;
  std::vector<Taps> taps_;  ///< one an output pixel
};

}  // namespace bsnn::trainer
