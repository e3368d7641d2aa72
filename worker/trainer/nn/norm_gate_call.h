/// How a fused normalisation enters the graph, on any device. Private to nn/.
#pragma once

#include <ATen/core/grad_mode.h>

#include <optional>

#include "worker/trainer/nn/batch_norm.h"

namespace bsnn::trainer {

/// Function::apply(x, weight, bias, alpha, residual, norm, call, keep): every tensor that may want
/// a gradient by itself, and whether one does.
template <class Function>
at::Tensor ApplyNormGateFire(const at::Tensor& x, const BatchNorm& norm, const NormCall& call) {
  const auto given = [](const at::Tensor& tensor) {
    return tensor.defined() ? std::optional(tensor) : std::nullopt;
  };
  const at::Tensor alpha = call.gate != nullptr ? call.gate->alpha : at::Tensor();
  const bool keep = at::GradMode::is_enabled() &&
                    (x.requires_grad() || norm.weight.requires_grad() ||
                     norm.bias.requires_grad() || (alpha.defined() && alpha.requires_grad()) ||
                     (call.residual.defined() && call.residual.requires_grad()));
  return Function::apply(x, norm.weight, norm.bias, given(alpha), given(call.residual), norm, call,
                         keep);
}

}  // namespace bsnn::trainer
