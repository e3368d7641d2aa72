/// Mean and variance of the gradients of weight layers, before and after the straight-through rule.
///
/// Source: the paper ties the flip ratio to both (science.md §2.1 A3). Pooled over the layer's
/// weights and over the steps observed, as one population (biased variance).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/trainer/model/network.h"
#include "worker/trainer/nn/named_tensor.h"

namespace bsnn::trainer {

struct GradientMoments {
  std::string layer;  ///< "all" pools the layers
  double mean = 0;    ///< of dL/d(effective weight); NaN where nothing was observed
  double variance = 0;
  double latent_mean = 0;  ///< of dL/d(latent weight)
  double latent_variance = 0;
};

/// Confined to the thread that trains. Sums in float64, in a fixed order.
class GradientMeter {
 public:
  explicit GradientMeter(const std::vector<WeightLayer>& layers);

  /// Adds Network::Gradients() of one step: between backward and Optimizer::Step.
  void Observe(const std::vector<LayerGradient>& gradients);

  /// Since the last Reset: one entry a layer and, last, "all" (absent if there is no layer).
  std::vector<GradientMoments> Moments() const;
  void Reset();

  /// "<layer>.gradient_sums": float64 [6], count, sum and sum of squares of both gradients.
  /// Shares memory with the meter.
  NamedTensors State() const;

 private:
  std::vector<std::string> names_;
  at::Tensor sums_;  ///< float64 [layers, 6]
};

}  // namespace bsnn::trainer
