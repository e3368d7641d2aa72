/// Square planes of bytes, made smaller or larger.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/trainer/data/bilinear.h"

namespace bsnn::trainer {

/// As Pillow's Image.resize with BILINEAR does for pictures of 8 bits, to the byte (bilinear.h):
/// along rows and then along columns, rounded to bytes after each. Immutable.
class PlaneResizer {
 public:
  /// Both sides at least 1.
  PlaneResizer(int64_t side_in, int64_t side_out);

  /// `in` has side_in^2 bytes and `out` side_out^2, row-major; they do not overlap.
  void Run(std::span<const uint8_t> in, std::span<uint8_t> out) const;

 private:
  const int64_t side_in_;
  std::vector<Taps> taps_;  ///< one an output pixel
};

}  // namespace bsnn::trainer
