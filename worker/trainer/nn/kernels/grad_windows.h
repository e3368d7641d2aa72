/// What the ways to dL/dweight share: gradients of output pixels in blocks of 64. Private to
/// nn/kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/kernels/bit_words.h"
#include "worker/trainer/nn/kernels/sum_tables.h"

namespace bsnn::trainer::kernels {

struct Range {
  int64_t first, last;
};

/// reals[j] = dL/dy of 16 outputs at 64 pixels; 0 where there is no pixel or output.
BSNN_INLINE void LoadReals(const BinaryConvShape& s, const float* grad_y, int64_t begin,
                           int64_t output, Lanes* reals) {
  const int64_t have = std::min(kReals, s.pictures * s.out_pixels() - begin);
  const int64_t lanes = std::min(kLanes, s.out - output);
  const float* const from = grad_y + begin * s.out + output;
  if (lanes == kLanes) {
    for (int64_t j = 0; j < have; ++j) {
      __builtin_prefetch(from + (j + kReals) * s.out, 0, 2);  // the next block's
      reals[j] = *reinterpret_cast<const UnalignedLanes*>(from + j * s.out);
    }
    std::fill(reals + have, reals + kPaddedReals, Lanes{});
    return;
  }
  std::fill(reals, reals + kPaddedReals, Lanes{});
  for (int64_t j = 0; j < have; ++j) {
    std::memcpy(reals + j, from + j * s.out, static_cast<size_t>(lanes) * sizeof(float));
  }
}

/// Blocks of 64 pixels whose columns are there at a time.
inline int64_t ChunkBlocks(const BinaryConvShape& s) {
  constexpr int64_t kColumnBytes = 1 << 18;  // they stay in cache
  return std::clamp<int64_t>(kColumnBytes / (s.words() * kWordBits * 8), 1, 16);
}

}  // namespace bsnn::trainer::kernels
