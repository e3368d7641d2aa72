/// How a fused normalisation enters the graph, on any device. Private to nn/.
#pragma once

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "worker/trainer/nn/batch_norm.h"

namespace bsnn::trainer {

/// For a Function's optional arguments: every tensor that may want a gradient goes in by itself.
inline std::optional<at::Tensor> Given(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}
inline std::optional<at::Tensor> AlphaOf(const NormCall& call) {
  return call.gate != nullptr ? Given(call.gate->alpha) : std::nullopt;
}

/// Whether one of `inputs` or of the normalisation's own tensors wants a gradient.
inline bool WantsGradient(std::initializer_list<at::Tensor> inputs, const BatchNorm& norm,
                          const NormCall& call) {
  const auto wants = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.requires_grad();
  };
  return at::GradMode::is_enabled() &&
         (std::any_of(inputs.begin(), inputs.end(), wants) || wants(norm.weight) ||
          wants(norm.bias) || wants(AlphaOf(call).value_or(at::Tensor())) || wants(call.residual));
}

/// Function::apply(x, weight, bias, alpha, residual, norm, call, keep).
template <class Function>
at::Tensor ApplyNormGateFire(const at::Tensor& x, const BatchNorm& norm, const NormCall& call) {
  return Function::apply(x, norm.weight, norm.bias, AlphaOf(call), Given(call.residual), norm, call,
                         WantsGradient({x}, norm, call));
}

}  // namespace bsnn::trainer
