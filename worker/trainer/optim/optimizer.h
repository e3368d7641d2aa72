/// SGD with momentum, Adam, AdamW, and the flip rules Bop and T-BSO, with their state open to
/// checkpoints.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/model/network.h"
#include "worker/trainer/nn/named_tensor.h"

namespace bsnn::trainer {

/// Updates a network's parameters. Element-wise, hence deterministic for any number of threads.
///
/// Confined to the thread that trains. Keeps the parameters alive; shares their memory.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// The optimiser that the spec names. `parameters` as Network::parameters(), on their device.
  ///
  /// bop    m <- (1 - flip_rate) m + flip_rate g; a binary weight flips where w m > flip_threshold.
  /// t_bso  the same with the threshold times sqrt(v + epsilon), v <- (1 - flip_square_rate) v +
  ///        flip_square_rate mean(g^2), one v a layer.
  /// Both keep no latent weights: binary weights become their signs here, and stay -1 or +1. All
  /// other parameters take SGD. Source: Helwegen et al., NeurIPS 2019 (Bop); BSO, ICML 2025
  /// (T-BSO; its training is online and has a v for each time step, ours goes back through time and
  /// has the sum of their gradients). science.md §1.3 and §8.
  static std::unique_ptr<Optimizer> Make(const spec::OptimizerSpec& spec,
                                         const std::vector<Parameter>& parameters);

  /// One update from the parameters' gradients, which are first scaled down together where their
  /// norm is above gradient_clip; then clears them (ZeroGradients). A parameter with no gradient is
  /// left as it is. `learning_rate` >= 0, see LearningRate() in schedule.h.
  void Step(double learning_rate);

  /// Drops all gradients. Step does it; call it only to throw a backward pass away.
  void ZeroGradients();

  /// "<parameter>.momentum" (SGD), ".mean" and ".square" and "adam.steps" (int64; Adam, AdamW),
  /// ".flip_mean" and ".flip_square" (Bop, T-BSO). Shares memory with the optimiser.
  virtual NamedTensors State() const = 0;

 protected:
  Optimizer(const spec::OptimizerSpec& spec, std::vector<Parameter> parameters)
      : spec_(spec), parameters_(std::move(parameters)) {}
  /// binary_rate_factor times the rate for latent binary weights, the rate itself for others.
  double RateOf(const Parameter& parameter, double learning_rate) const {
    return parameter.binary ? spec_.binary_rate_factor * learning_rate : learning_rate;
  }
  const spec::OptimizerSpec spec_;
  std::vector<Parameter> parameters_;

 private:
  virtual void Update(double learning_rate) = 0;
  void ClipGradients();
};

}  // namespace bsnn::trainer
