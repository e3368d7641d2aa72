#include "worker/trainer/nn/agmm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <vector>

namespace bsnn::trainer {
namespace {

std::vector<int64_t> ReducedAxes(spec::AgmmReduce reduce) {
  switch (reduce) {
    case spec::AgmmReduce::kSample:
      return {2, 3, 4};
    case spec::AgmmReduce::kChannel:
      return {3, 4};
    case spec::AgmmReduce::kStep:
      return {1, 2, 3, 4};
    case spec::AgmmReduce::kSpatial:
      return {2};
  }
  return {};
}

at::Tensor Energy(const at::Tensor& x, const Gate& gate, bool training) {
  const at::Tensor& running = gate.running_energy;
  if (gate.spec.reduce == spec::AgmmReduce::kStep && !training) {
    return running.view({-1, 1, 1, 1, 1});
  }
  const at::Tensor input = gate.spec.input == spec::GateInput::kAbs ? x.abs() : x;
  at::Tensor energy = input.mean(ReducedAxes(gate.spec.reduce), /*keepdim=*/true);
  if (gate.spec.reduce == spec::AgmmReduce::kStep) {
    at::NoGradGuard no_grad;
    running.mul_(1 - kEnergyMomentum).add_(energy.detach().view(-1), kEnergyMomentum);
  }
  return energy;
}

}  // namespace

at::Tensor Agmm(const at::Tensor& x, const Gate& gate, const GateCall& call) {
  TORCH_CHECK(x.dim() == 4 && x.scalar_type() == at::kFloat && x.size(0) % call.steps == 0,
              "Agmm: x is ", x.sizes(), " ", x.scalar_type(),
              "; allowed: [T*B, C, H, W] float32, T = ", call.steps);
  TORCH_CHECK(gate.alpha.size(0) == call.steps, "Agmm: alpha is ", gate.alpha.sizes(),
              "; allowed: [T] or [T, C], T = ", call.steps);
  const at::Tensor x5 =
      x.reshape({call.steps, x.size(0) / call.steps, x.size(1), x.size(2), x.size(3)});
  at::Tensor g = Energy(x5, gate, call.training).sigmoid();
  if (gate.spec.gradient == spec::GateGradient::kDetach) g = g.detach();
  if (call.gate_sum.defined()) {
    at::NoGradGuard no_grad;
    const at::Tensor sum = g.sum(at::kDouble);
    call.gate_sum.add_(at::stack({sum, at::full({}, g.numel(), sum.options())}));
  }
  const int64_t per_channel = gate.alpha.dim() == 2 ? gate.alpha.size(1) : 1;
  const at::Tensor alpha = gate.alpha.view({call.steps, 1, per_channel, 1, 1});
  return (x5 * (alpha * g)).reshape(x.sizes());  // a copy where the device chose other strides
}

}  // namespace bsnn::trainer
