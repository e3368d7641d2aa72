/// Updates of parameters over raw memory, one pass each. Torch-free: the CPU truth.
#pragma once

#include <cstdint>

namespace bsnn::trainer::kernels {

struct SgdRates {
  float learning_rate;
  float momentum;
  float weight_decay;
};

/// g = grad + weight_decay w;  m = momentum m + g;  w -= learning_rate m. On [first, last).
void SgdUpdate(const SgdRates& rates, float* weight, const float* grad, float* momentum,
               int64_t first, int64_t last);

struct AdamRates {
  float step_size;  ///< learning rate / (1 - beta1^n)
  float beta1;
  float beta2;
  float square_correction;  ///< 1 / sqrt(1 - beta2^n)
  float epsilon;
  float weight_decay;
  float shrink;  ///< 1, or AdamW's 1 - learning rate * weight decay
};

/// g = grad + weight_decay w;  m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2;
/// w = shrink w - step_size m / (square_correction sqrt(v) + epsilon). On [first, last).
void AdamUpdate(const AdamRates& rates, float* weight, const float* grad, float* mean,
                float* square, int64_t first, int64_t last);

struct FlipRates {
  float rate;
  float threshold;
};

/// m += rate (grad - m);  w = -w where w m > threshold (strictly). w is -1 or +1. On [first, last).
void FlipUpdate(const FlipRates& rates, float* weight, const float* grad, float* mean,
                int64_t first, int64_t last);

}  // namespace bsnn::trainer::kernels
