#include "worker/trainer/optim/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

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

double SquareSum(const at::Tensor& grad) { return grad.square().sum(at::kDouble).item<double>(); }

class Sgd final : public Optimizer {
 public:
  Sgd(const spec::OptimizerSpec& spec, std::vector<Parameter> parameters)
      : Optimizer(spec, std::move(parameters)) {
    for (const Parameter& p : parameters_) momentum_.push_back(at::zeros_like(p.tensor.detach()));
  }

  void Update(double learning_rate) override {
    std::map<std::pair<double, double>, Elsewhere> elsewhere;  // by decay and rate
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& weight = parameters_[i].tensor;
      const at::Tensor grad = GradientOf(weight);
      if (!grad.defined()) continue;
      const double decay = parameters_[i].decay ? spec_.weight_decay : 0.0;
      const double rate = RateOf(parameters_[i], learning_rate);
      if (weight.is_cpu()) {
        const kernels::SgdRates rates{static_cast<float>(rate), static_cast<float>(spec_.momentum),
                                      static_cast<float>(decay)};
        float* const w = weight.mutable_data_ptr<float>();
        float* const m = momentum_[i].mutable_data_ptr<float>();
        const float* const g = grad.const_data_ptr<float>();
        at::parallel_for(0, weight.numel(), kGrain, [&](int64_t first, int64_t last) {
          kernels::SgdUpdate(rates, w, g, m, first, last);
        });
      } else {
        Elsewhere& to = elsewhere[{decay, rate}];
        to.weights.push_back(weight);
        to.grads.push_back(grad);
        to.momentum.push_back(momentum_[i]);
      }
    }
    for (const auto& [numbers, e] : elsewhere) {
      at::_fused_sgd_(e.weights, e.grads, e.momentum, /*weight_decay=*/numbers.first,
                      spec_.momentum, /*lr=*/numbers.second, /*dampening=*/0, /*nesterov=*/false,
                      /*maximize=*/false, /*is_first_step=*/false);
    }
  }

  NamedTensors State() const override {
    NamedTensors state;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      state.push_back({parameters_[i].name + ".momentum", momentum_[i]});
    }
    return state;
  }

 private:
  /// What another device updates in one launch.
  struct Elsewhere {
    std::vector<at::Tensor> weights, grads, momentum;
  };
  std::vector<at::Tensor> momentum_;
};

class Adam final : public Optimizer {
 public:
  Adam(const spec::OptimizerSpec& spec, std::vector<Parameter> parameters)
      : Optimizer(spec, std::move(parameters)), steps_(at::zeros({1}, at::kLong)) {
    for (const Parameter& p : parameters_) {
      mean_.push_back(at::zeros_like(p.tensor.detach()));
      square_.push_back(at::zeros_like(p.tensor.detach()));
    }
  }

  void Update(double learning_rate) override {
    const auto steps = static_cast<double>(++*steps_.mutable_data_ptr<int64_t>());
    const double mean_correction = 1 - std::pow(spec_.beta1, steps);
    const double correction = 1 / std::sqrt(1 - std::pow(spec_.beta2, steps));
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& weight = parameters_[i].tensor;
      const at::Tensor grad = GradientOf(weight);
      if (!grad.defined()) continue;
      const bool apart = spec_.name == spec::OptimizerName::kAdamw;
      const double weight_decay = parameters_[i].decay ? spec_.weight_decay : 0.0;
      const double decay = apart ? 0.0 : weight_decay;
      const double rate = RateOf(parameters_[i], learning_rate);
      const double step_size = rate / mean_correction;
      const double shrink = apart ? 1.0 - rate * weight_decay : 1.0;
      if (weight.is_cpu()) {
        const kernels::AdamRates rates{
            static_cast<float>(step_size),     static_cast<float>(spec_.beta1),
            static_cast<float>(spec_.beta2),   static_cast<float>(correction),
            static_cast<float>(spec_.epsilon), static_cast<float>(decay),
            static_cast<float>(shrink)};
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
        weight.mul_(shrink);
        weight.addcdiv_(mean_[i], square_[i].sqrt().mul_(correction).add_(spec_.epsilon),
                        -step_size);
      }
    }
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
  std::vector<at::Tensor> mean_, square_;
  at::Tensor steps_;
};

std::vector<Parameter> Where(const std::vector<Parameter>& parameters, bool binary) {
  std::vector<Parameter> out;
  for (const Parameter& p : parameters) {
    if (p.binary == binary) out.push_back(p);
  }
  return out;
}

/// Bop and T-BSO.
class FlipRule final : public Optimizer {
 public:
  FlipRule(const spec::OptimizerSpec& spec, const std::vector<Parameter>& parameters)
      : Optimizer(spec, parameters),
        binary_(Where(parameters, true)),
        rest_(spec, Where(parameters, false)) {
    const at::NoGradGuard no_grad;
    for (const Parameter& p : binary_) {
      p.tensor.copy_(at::where(p.tensor.ge(0), 1.0F, -1.0F));
      mean_.push_back(at::zeros_like(p.tensor.detach()));
      square_.push_back(at::zeros({1}, at::kDouble));
    }
  }

  NamedTensors State() const override {
    NamedTensors state = rest_.State();
    for (size_t i = 0; i < binary_.size(); ++i) {
      state.push_back({binary_[i].name + ".flip_mean", mean_[i]});
      state.push_back({binary_[i].name + ".flip_square", square_[i]});
    }
    return state;
  }

 private:
  void Update(double learning_rate) override {
    for (size_t i = 0; i < binary_.size(); ++i) {
      const at::Tensor& weight = binary_[i].tensor;
      const at::Tensor grad = GradientOf(weight);
      if (!grad.defined()) continue;
      const double threshold = spec_.flip_threshold * UnitOf(grad, square_[i]);
      if (weight.is_cpu()) {
        const kernels::FlipRates rates{static_cast<float>(spec_.flip_rate),
                                       static_cast<float>(threshold)};
        float* const w = weight.mutable_data_ptr<float>();
        float* const m = mean_[i].mutable_data_ptr<float>();
        const float* const g = grad.const_data_ptr<float>();
        at::parallel_for(0, weight.numel(), kGrain, [&](int64_t first, int64_t last) {
          kernels::FlipUpdate(rates, w, g, m, first, last);
        });
      } else {
        mean_[i].add_(grad.sub(mean_[i]), spec_.flip_rate);
        weight.mul_(at::where(weight.mul(mean_[i]).gt(threshold), -1.0F, 1.0F));
      }
    }
    rest_.Update(learning_rate);
  }

  /// What the threshold is counted in: 1, or the gradient's root mean square so far.
  double UnitOf(const at::Tensor& grad, const at::Tensor& square) const {
    if (spec_.name == spec::OptimizerName::kBop) return 1.0;
    double& v = *square.mutable_data_ptr<double>();
    const auto numel = static_cast<double>(std::max<int64_t>(1, grad.numel()));
    v += spec_.flip_square_rate * (SquareSum(grad) / numel - v);
    return std::sqrt(v + spec_.epsilon);
  }

  const std::vector<Parameter> binary_;
  Sgd rest_;
  std::vector<at::Tensor> mean_;
  std::vector<at::Tensor> square_;  ///< float64 [1]
};

}  // namespace

void Optimizer::Step(double learning_rate) {
  const at::NoGradGuard no_grad;
  if (spec_.gradient_clip > 0) ClipGradients();
  Update(learning_rate);
  ZeroGradients();
}

void Optimizer::ClipGradients() {
  double sum = 0;
  for (const Parameter& p : parameters_) {
    if (p.tensor.grad().defined()) sum += SquareSum(p.tensor.grad());
  }
  const double scale = spec_.gradient_clip / (std::sqrt(sum) + 1e-6);  // as torch's clip_grad_norm_
  if (!(scale < 1)) return;
  for (const Parameter& p : parameters_) {
    if (p.tensor.grad().defined()) p.tensor.mutable_grad().mul_(scale);
  }
}

void Optimizer::ZeroGradients() {
  for (const Parameter& p : parameters_) p.tensor.mutable_grad().reset();
}

std::unique_ptr<Optimizer> Optimizer::Make(const spec::OptimizerSpec& spec,
                                           const std::vector<Parameter>& parameters) {
  switch (spec.name) {
    case spec::OptimizerName::kAdam:
    case spec::OptimizerName::kAdamw:
      return std::make_unique<Adam>(spec, parameters);
    case spec::OptimizerName::kBop:
    case spec::OptimizerName::kTbso:
      return std::make_unique<FlipRule>(spec, parameters);
    default:
      return std::make_unique<Sgd>(spec, parameters);
  }
}

}  // namespace bsnn::trainer
