/// 2x2 pooling, stride 2, over channels-last memory. Torch-free: the CPU truth.
#pragma once

#include <cstdint>

namespace bsnn::trainer::kernels {

/// x is [N, H, W, C], y is [N, H/2, W/2, C]: of the maximum rounded down (an odd last row or column
/// is not seen), of the average rounded up (a window at the edge has what is there).
struct PoolShape {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
};

/// On the pictures [first, last).
void RunMaxPool(const PoolShape& shape, const float* x, float* y, int64_t first, int64_t last);

/// The gradient goes to the first of the largest, in row-major order (as in ATen); else 0.
void RunMaxPoolBackward(const PoolShape& shape, const float* x, const float* grad_y, float* grad_x,
                        int64_t first, int64_t last);

/// Each window's numbers are added in row-major order (as in ATen).
void RunAveragePool(const PoolShape& shape, const float* x, float* y, int64_t first, int64_t last);

/// Backward pass of the average: each pixel's share of its window's gradient.
void RunAveragePoolBackward(const PoolShape& shape, const float* grad_y, float* grad_x,
                            int64_t first, int64_t last);

}  // namespace bsnn::trainer::kernels
