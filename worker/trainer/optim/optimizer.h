/// SGD with momentum and Adam, with their state open to checkpoints.
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
  static std::unique_ptr<Optimizer> Make(const spec::OptimizerSpec& spec,
                                         const std::vector<Parameter>& parameters);

  /// One update from the parameters' gradients, then clears them (ZeroGradients). A parameter with
  /// no gradient is left as it is. `learning_rate` >= 0, see LearningRate() in schedule.h.
  virtual void Step(double learning_rate) = 0;

  /// Drops all gradients. Step does it; call it only to throw a backward pass away.
  void ZeroGradients();

  /// Momentum and, for Adam, the number of steps: "<parameter>.momentum", ".mean", ".square",
  /// "adam.steps" (int64). Shares memory with the optimiser.
  virtual NamedTensors State() const = 0;

 protected:
  explicit Optimizer(std::vector<Parameter> parameters) : parameters_(std::move(parameters)) {}
  std::vector<Parameter> parameters_;
};

}  // namespace bsnn::trainer
