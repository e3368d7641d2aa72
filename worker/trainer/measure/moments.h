/// Sums of many numbers and of their squares over raw memory. Torch-free.
#pragma once

#include <cstdint>

namespace bsnn::trainer::kernels {

struct Moments {
  double sum = 0;
  double square = 0;
};

/// In float64 over fixed lanes: the same bits on every processor. Squares of float32 are exact.
Moments MomentsOf(const float* values, int64_t count);

}  // namespace bsnn::trainer::kernels
