#include "worker/trainer/optim/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "worker/trainer/optim/update_kernels.h"

namespace bsnn::trainer {
namespace {

constexpr int64_t kGrain = 1 << 15;

/// The gradient in the parameter's own memory order, so that element i belongs to element i.
at::Tensor GradientOf(const at::Tensor& parameter) {
  const at::Tensor& grad = parameter.grad();
  if (!grad.defined()) return grad;
  return grad.is_contiguous() ? grad : grad.contiguous();
}

class Sgd final : public Optimizer {
 public:
  Sgd(const spec::OptimizerSpec& spec, std::vector<Parameter> parameters)
      : Optimizer(std::move(parameters)), spec_(spec) {
    for (const Parameter& p : parameters_) momentum_.push_back(at::zeros_like(p.tensor.detach()));
  }

  void Step(double learning_rate) override {
    at::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& weight = parameters_[i].tensor;
      const at::Tensor grad = GradientOf(weight);
      if (!grad.defined()) continue;
      const double decay = parameters_[i].decay ? spec_.weight_decay : 0.0;
      if (weight.is_cpu()) {
        const kernels::SgdRates rates{static_cast<float>(learning_rate),
                                      static_cast<float>(spec_.momentum),
                                      static_cast<float>(decay)};
        float* const w = weight.mutable_data_ptr<float>();
        float* const m = momentum_[i].mutable_data_ptr<float>();
        const float* const g = grad.const_data_ptr<float>();
        at::parallel_for(0, weight.numel(), kGrain, [&](int64_t first, int64_t last) {
          kernels::SgdUpdate(rates, w, g, m, first, last);
        });
      } else {
        momentum_[i].mul_(spec_.momentum).add_(grad).add_(weight, decay);
        weight.add_(momentum_[i], -learning_rate);
      }
    }
    ZeroGradients();
  }

  NamedTensors State() const override {
    NamedTensors state;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      state.push_back({parameters_[i].name + ".momentum", momentum_[i]});
    }
    return state;
  }

 private:
  const spec::OptimizerSpec spec_;
  std::vector<at::Tensor> momentum_;
};

class Adam final : public Optimizer {
 public:
  Adam(const spec::OptimizerSpec& spec, std::vector<Parameter> parameters)
      : Optimizer(std::move(parameters)), spec_(spec), steps_(at::zeros({1}, at::kLong)) {
    for (const Parameter& p : parameters_) {
      mean_.push_back(at::zeros_like(p.tensor.detach()));
      square_.push_back(at::zeros_like(p.tensor.detach()));
    }
  }

  void Step(double learning_rate) override {
    at::NoGradGuard no_grad;
    const auto steps = static_cast<double>(++*steps_.mutable_data_ptr<int64_t>());
    const double step_size = learning_rate / (1 - std::pow(spec_.beta1, steps));
    const double correction = 1 / std::sqrt(1 - std::pow(spec_.beta2, steps));
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& weight = parameters_[i].tensor;
      const at::Tensor grad = GradientOf(weight);
      if (!grad.defined()) continue;
      const double decay = parameters_[i].decay ? spec_.weight_decay : 0.0;
      if (weight.is_cpu()) {
        const kernels::AdamRates rates{
            static_cast<float>(step_size),     static_cast<float>(spec_.beta1),
            static_cast<float>(spec_.beta2),   static_cast<float>(correction),
            static_cast<float>(spec_.epsilon), static_cast<float>(decay)};
        float* const w = weight.mutable_data_ptr<float>();
        float* const m = mean_[i].mutable_data_ptr<float>();
        float* const v = square_[i].mutable_data_ptr<float>();
        const float* const g = grad.const_data_ptr<float>();
        at::parallel_for(0, weight.numel(), kGrain, [&](int64_t first, int64_t last) {
          kernels::AdamUpdate(rates, w, g, m, v, first, last);
        });
      } else {
        const at::Tensor g = grad.add(weight, decay);
        mean_[i].mul_(spec_.beta1).add_(g, 1 - spec_.beta1);
        square_[i].mul_(spec_.beta2).addcmul_(g, g, 1 - spec_.beta2);
        weight.addcdiv_(mean_[i], square_[i].sqrt().mul_(correction).add_(spec_.epsilon),
                        -step_size);
      }
    }
    ZeroGradients();
  }

  NamedTensors State() const override {
    NamedTensors state;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      state.push_back({parameters_[i].name + ".mean", mean_[i]});
      state.push_back({parameters_[i].name + ".square", square_[i]});
    }
    state.push_back({"adam.steps", steps_});
    return state;
  }

 private:
  const spec::OptimizerSpec spec_;
  std::vector<at::Tensor> mean_, square_;
  at::Tensor steps_;
};

}  // namespace

void Optimizer::ZeroGradients() {
  for (const Parameter& p : parameters_) p.tensor.mutable_grad().reset();
}

std::unique_ptr<Optimizer> Optimizer::Make(const spec::OptimizerSpec& spec,
                                           const std::vector<Parameter>& parameters) {
  if (spec.name == spec::OptimizerName::kAdam) return std::make_unique<Adam>(spec, parameters);
  return std::make_unique<Sgd>(spec, parameters);
}

}  // namespace bsnn::trainer
