#include "worker/trainer/optim/update_kernels.h"

#include <cmath>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

BSNN_CLONES void SgdUpdate(const SgdRates& rates, float* __restrict weight,
                           const float* __restrict grad, float* __restrict momentum, int64_t first,
                           int64_t last) {
  for (int64_t i = first; i < last; ++i) {
    const float g = grad[i] + rates.weight_decay * weight[i];
    const float m = rates.momentum * momentum[i] + g;
    momentum[i] = m;
    weight[i] -= rates.learning_rate * m;
  }
}

BSNN_CLONES void AdamUpdate(const AdamRates& rates, float* __restrict weight,
                            const float* __restrict grad, float* __restrict mean,
                            float* __restrict square, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; ++i) {
    const float g = grad[i] + rates.weight_decay * weight[i];
    const float m = mean[i] + (1.0f - rates.beta1) * (g - mean[i]);
    const float v = rates.beta2 * square[i] + (1.0f - rates.beta2) * g * g;
    mean[i] = m;
    square[i] = v;
    weight[i] = rates.shrink * weight[i] -
                rates.step_size * m / (rates.square_correction * std::sqrt(v) + rates.epsilon);
  }
}

BSNN_CLONES void FlipUpdate(const FlipRates& rates, float* __restrict weight,
                            const float* __restrict grad, float* __restrict mean, int64_t first,
                            int64_t last) {
  for (int64_t i = first; i < last; ++i) {
    const float m = mean[i] + rates.rate * (grad[i] - mean[i]);
    mean[i] = m;
    weight[i] = weight[i] * m > rates.threshold ? -weight[i] : weight[i];
  }
}

}  // namespace bsnn::trainer::kernels
