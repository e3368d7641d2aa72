#include "worker/trainer/measure/moments.h"

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

BSNN_CLONES Moments MomentsOf(const float* values, int64_t count) {
  constexpr int64_t kLanes = 16;
  double sum[kLanes] = {}, square[kLanes] = {};
  const int64_t whole = count - count % kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const double value = values[i + l];
      sum[l] += value;
      square[l] += value * value;
    }
  }
  for (int64_t i = whole; i < count; ++i) {
    const double value = values[i];
    sum[0] += value;
    square[0] += value * value;
  }
  Moments moments;
  for (int64_t l = 0; l < kLanes; ++l) {
    moments.sum += sum[l];
    moments.square += square[l];
  }
  return moments;
}

}  // namespace bsnn::trainer::kernels
