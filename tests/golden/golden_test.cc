// The trainer's operations against reference/bsnn_reference.py, values and gradients.
#include <ATen/Context.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/golden/golden_file.h"
#include "worker/trainer/measure/flips.h"
#include "worker/trainer/nn/batch_norm.h"
#include "worker/trainer/nn/binarize.h"
#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/loss.h"
#include "worker/trainer/nn/neuron.h"

namespace bsnn::golden {
namespace {

using trainer::BatchNorm;
using trainer::Gate;
using trainer::NormCall;

#define LOAD_OR_SKIP(cases, operation)                                                         \
  const std::vector<Case> cases = LoadCases(operation);                                        \
  if (cases.empty()) GTEST_SKIP() << "no " << GoldenFolder() << "/" << (operation) << ".json"; \
  if (TestDevice().is_cuda() && !at::hasCUDA()) GTEST_SKIP() << "no CUDA device"

/// As leaf of the graph, in the memory order of `value`, on the device that is tested.
at::Tensor Leaf(const at::Tensor& value) {
  return value.detach().to(TestDevice()).requires_grad_(true);
}

std::vector<at::Tensor> Gradients(const at::Tensor& output, const std::vector<at::Tensor>& inputs,
                                  const at::Tensor& grad_output) {
  return torch::autograd::grad({output}, inputs, {grad_output.to(output.device())});
}

spec::NeuronSpec Neuron(const nlohmann::json& params) {
  spec::NeuronSpec neuron;
  neuron.decay = params.at("tau");
  neuron.threshold = params.at("vth");
  neuron.surrogate_width = params.at("gamma");
  neuron.reset = params.value("reset", "hard") == "hard" ? spec::Reset::kHard : spec::Reset::kSoft;
  neuron.detach_reset = params.value("detach_reset", false);
  return neuron;
}

spec::AgmmReduce Reduce(const nlohmann::json& params) {
  const std::string word = params.at("reduce");
  if (word == "channel") return spec::AgmmReduce::kChannel;
  if (word == "step") return spec::AgmmReduce::kStep;
  return word == "spatial" ? spec::AgmmReduce::kSpatial : spec::AgmmReduce::kSample;
}

spec::Binarization Method(const nlohmann::json& params) {
  const std::string word = params.at("kind");
  if (word == "sign") return spec::Binarization::kSign;
  return word == "mean_abs" ? spec::Binarization::kMeanAbs : spec::Binarization::kStandardized;
}

BatchNorm Norm(const at::Tensor& weight, const at::Tensor& bias) {
  return {weight, bias, at::zeros(weight.sizes(), bias.options().requires_grad(false)),
          at::ones(weight.sizes(), bias.options().requires_grad(false))};
}

TEST(Golden, LifFiresAndGivesTheSurrogateGradient) {
  LOAD_OR_SKIP(cases, "lif");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.params.dump());
    const at::Tensor x = Leaf(c.Activations("x"));
    const at::Tensor spikes =
        trainer::Lif(x, {Neuron(c.params), c.Get("inputs", "x").size(0), false});
    EXPECT_TRUE(spikes.detach()
                    .cpu()
                    .reshape(c.Get("outputs", "spikes").sizes())
                    .equal(c.Get("outputs", "spikes")));
    ExpectClose(Gradients(spikes, {x}, c.Activations("grad_output"))[0], c.Get("grads", "x"), "x");
  }
}

TEST(Golden, BinarizeScalesSignsAndPassesTheGradient) {
  LOAD_OR_SKIP(cases, "binarize");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.params.dump());
    const at::Tensor weight = Leaf(c.Get("inputs", "weight"));
    const double sharpness =
        c.params.at("ede_t").is_null() ? 1.0 : c.params.at("ede_t").get<double>();
    const at::Tensor effective = trainer::Binarize(weight, Method(c.params), sharpness);
    ExpectClose(effective, c.Get("outputs", "effective"), "effective");
    ExpectClose(Gradients(effective, {weight}, c.Get("inputs", "grad_output"))[0],
                c.Get("grads", "weight"), "weight");
  }
}

Gate MakeGate(const Case& c, const at::Tensor& alpha) {
  Gate gate;
  gate.alpha = alpha;
  gate.running_energy = at::zeros({alpha.size(0)}, alpha.options().requires_grad(false));
  gate.spec.reduce = Reduce(c.params);
  gate.spec.gradient =
      c.params.value("detach", false) ? spec::GateGradient::kDetach : spec::GateGradient::kFull;
  return gate;
}

TEST(Golden, AgmmScalesByItsMeanAndGivesTheGradient) {
  LOAD_OR_SKIP(cases, "agmm");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.params.dump());
    const at::Tensor x = Leaf(c.Activations("x")), alpha = Leaf(c.Get("inputs", "alpha"));
    const at::Tensor there = at::zeros({2}, at::device(TestDevice()).dtype(at::kDouble));
    const at::Tensor y = trainer::Agmm(x, MakeGate(c, alpha), {alpha.size(0), true, there});
    const at::Tensor sums = there.cpu();
    ExpectClose(y, c.Get("outputs", "y"), "y");
    const at::Tensor gate = c.Get("outputs", "gate");
    EXPECT_NEAR(sums.const_data_ptr<double>()[0], gate.sum(at::kDouble).item<double>(), 1e-4);
    EXPECT_EQ(sums.const_data_ptr<double>()[1], gate.numel());
    const auto grads = Gradients(y, {x, alpha}, c.Activations("grad_output"));
    ExpectClose(grads[0], c.Get("grads", "x"), "x");
    ExpectClose(grads[1], c.Get("grads", "alpha"), "alpha");
  }
}

TEST(Golden, BatchNormTakesItsStatisticsOverTimeBatchAndSpace) {
  LOAD_OR_SKIP(cases, "batch_norm");
  for (const Case& c : cases) {
    const at::Tensor x = Leaf(c.Activations("x")), weight = Leaf(c.Get("inputs", "weight")),
                     bias = Leaf(c.Get("inputs", "bias"));
    BatchNorm norm = Norm(weight, bias);
    NormCall call;
    call.steps = c.Get("inputs", "x").size(0);
    const at::Tensor y = trainer::NormGateFire(x, norm, call);
    ExpectClose(y, c.Get("outputs", "y"), "y");
    const auto grads = Gradients(y, {x, weight, bias}, c.Activations("grad_output"));
    ExpectClose(grads[0], c.Get("grads", "x"), "x");
    ExpectClose(grads[1], c.Get("grads", "weight"), "weight");
    ExpectClose(grads[2], c.Get("grads", "bias"), "bias");
    ExpectClose(norm.running_mean, c.Get("outputs", "batch_mean").mul(0.1), "running mean");
    const double n = static_cast<double>(x.numel()) / static_cast<double>(weight.numel());
    ExpectClose(norm.running_var, c.Get("outputs", "batch_var").mul(0.1 * n / (n - 1)).add(0.9),
                "running variance");
  }
}

TEST(Golden, TetLossHasValueAndGradient) {
  LOAD_OR_SKIP(cases, "tet_loss");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.params.dump());
    const at::Tensor logits = Leaf(c.Get("inputs", "logits"));
    const at::Tensor loss =
        trainer::TetLoss(logits, c.Get("inputs", "labels").to(TestDevice(), at::kLong),
                         c.params.at("lambda").get<double>(), c.params.at("phi").get<double>());
    ExpectClose(loss, c.Get("outputs", "loss"), "loss");
    ExpectClose(Gradients(loss, {logits}, at::ones({}))[0], c.Get("grads", "logits"), "logits");
  }
}

TEST(Golden, FlipRatioCountsChangedSigns) {
  LOAD_OR_SKIP(cases, "flip_ratio");
  for (const Case& c : cases) {
    EXPECT_DOUBLE_EQ(trainer::FlipRatio(c.Get("inputs", "before"), c.Get("inputs", "after")),
                     c.arrays.at("outputs").at("flip_ratio").at("data").at(0).get<double>());
  }
}

TEST(Golden, BlockOfNeuronConvolutionNormGateAndShortcut) {
  LOAD_OR_SKIP(cases, "block");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.params.dump());
    const at::Tensor x = Leaf(c.Activations("x")), weight = Leaf(c.Get("inputs", "weight")),
                     bn_weight = Leaf(c.Get("inputs", "bn_weight")),
                     bn_bias = Leaf(c.Get("inputs", "bn_bias")),
                     alpha = Leaf(c.Get("inputs", "alpha"));
    const Gate gate = MakeGate(c, alpha);
    const BatchNorm norm = Norm(bn_weight, bn_bias);
    NormCall call;
    call.steps = alpha.size(0);
    call.gate = &gate;
    call.residual = x;
    const at::Tensor spikes = trainer::Lif(x, {Neuron(c.params), call.steps, false});
    const at::Tensor product =
        trainer::Conv2d(spikes, trainer::Binarize(weight, Method(c.params), 1.0), {});
    const at::Tensor y = trainer::NormGateFire(product, norm, call);
    ExpectClose(y, c.Get("outputs", "y"), "y");
    const auto grads =
        Gradients(y, {x, weight, bn_weight, bn_bias, alpha}, c.Activations("grad_output"));
    const char* const names[] = {"x", "weight", "bn_weight", "bn_bias", "alpha"};
    for (size_t i = 0; i < grads.size(); ++i) {
      ExpectClose(grads[i], c.Get("grads", names[i]), names[i]);
    }
  }
}

}  // namespace
}  // namespace bsnn::golden
