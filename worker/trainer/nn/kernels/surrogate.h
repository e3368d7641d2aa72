/// The surrogates ds/du at distance d = u - threshold, w their width (kernels/lif.h). The CPU's and
/// the GPU's passes share them. Private to nn.
#pragma once

#include <cmath>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

BSNN_INLINE float TriangleDerivative(float d, float w) {
  const float rest = w - std::fabs(d);
  return (rest > 0.0f ? rest : 0.0f) / (w * w);
}

BSNN_INLINE float RectangleDerivative(float d, float w) {
  return std::fabs(d) < w ? 0.5f / w : 0.0f;
}

BSNN_INLINE float SigmoidDerivative(float d, float w) {
  const float e = ExpOfNegative(-std::fabs(w * d));
  return w * e / ((1.0f + e) * (1.0f + e));
}

BSNN_INLINE float ArctangentDerivative(float d, float w) {
  const float z = 1.57079632679489662f * w * d;  // pi / 2
  return 0.5f * w / (1.0f + z * z);
}

}  // namespace bsnn::trainer::kernels
