/// One time step of the neuron, which both passes of lif.h take. Private to nn/kernels.
#pragma once

#include <cstdint>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

/// v behind u.
template <bool kHard>
BSNN_INLINE float Reset(float u, float threshold) {
  if constexpr (kHard) return u > threshold ? 0.0f : u;
  const float s = u > threshold ? 1.0f : 0.0f;
  return u - s * threshold;
}

template <bool kHard, bool kAffine, bool kKeep>
BSNN_INLINE int64_t FireTile(const float* __restrict x, const float* __restrict scale,
                             const float* __restrict shift, float* __restrict v,
                             float* __restrict spikes, float* __restrict potential, int64_t count,
                             float decay, float threshold) {
  int32_t fired = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float y = kAffine ? x[i] * scale[i] + shift[i] : x[i];
    const float u = decay * v[i] + y;
    v[i] = Reset<kHard>(u, threshold);
    spikes[i] = u > threshold ? 1.0f : 0.0f;
    if (kKeep) potential[i] = u;
    fired += u > threshold ? 1 : 0;
  }
  return fired;
}

}  // namespace bsnn::trainer::kernels
