#include "worker/trainer/nn/batch_norm.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "tests/worker/trainer/nn/tensors.h"

namespace bsnn::trainer {
namespace {

constexpr int64_t kSteps = 2, kBatch = 3, kChannels = 24;

struct Problem {
  at::Tensor x = Leaf(NormalActivations({kSteps * kBatch, kChannels, 7, 7}, 1, 0.4));
  at::Tensor residual = Leaf(NormalActivations({kSteps * kBatch, kChannels, 7, 7}, 2));
  at::Tensor grad = NormalActivations({kSteps * kBatch, kChannels, 7, 7}, 3);
  BatchNorm norm{Leaf(Normal({kChannels}, 4, 1.5)), Leaf(Normal({kChannels}, 5)),
                 Normal({kChannels}, 6), Normal({kChannels}, 7).square().add(0.5)};
  Gate gate;
  NormCall call;

  Problem() {
    gate.alpha = Leaf(Normal({kSteps}, 8, 2));
    gate.running_energy = Normal({kSteps}, 9);
    call.steps = kSteps;
    call.gate = &gate;
    call.gate_sum = at::zeros({2}, at::kDouble);
    call.spike_count = at::zeros({2, kSteps}, at::kLong);
  }
};

using Forward = std::function<at::Tensor(const at::Tensor&, const BatchNorm&, const NormCall&)>;

/// Output, gradients, and what was counted and moved.
std::vector<at::Tensor> RunBothWays(const Forward& forward,
                                    const std::function<void(Problem&)>& change) {
  Problem p;
  change(p);
  std::vector<at::Tensor> inputs = {p.x, p.norm.weight, p.norm.bias};
  if (p.call.gate != nullptr) inputs.push_back(p.gate.alpha);
  if (p.call.residual.defined()) inputs.push_back(p.residual);
  const at::Tensor y = forward(p.x, p.norm, p.call);
  std::vector<at::Tensor> out = {y.detach()};
  for (const at::Tensor& g : torch::autograd::grad({y}, inputs, {p.grad})) out.push_back(g);
  out.insert(out.end(), {p.norm.running_mean, p.norm.running_var, p.gate.running_energy,
                         p.call.gate_sum.to(at::kFloat), p.call.spike_count.to(at::kFloat)});
  return out;
}

void ExpectFusedAgreesWithPlain(const std::function<void(Problem&)>& change) {
  const auto fused = RunBothWays(NormGateFire, change),
             plain = RunBothWays(NormGateFirePlain, change);
  ASSERT_EQ(fused.size(), plain.size());
  for (size_t i = 0; i < fused.size(); ++i) {
    EXPECT_LE(Difference(fused[i], plain[i]), 2e-5) << "tensor " << i;
  }
}

TEST(NormGateFire, AgreesWithSeparateOperationsForEveryGate) {
  for (const spec::AgmmReduce reduce :
       {spec::AgmmReduce::kSample, spec::AgmmReduce::kChannel, spec::AgmmReduce::kStep}) {
    for (int bits = 0; bits < 8; ++bits) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(reduce) << " bits " << bits);
      ExpectFusedAgreesWithPlain([&](Problem& p) {
        p.gate.spec.reduce = reduce;
        if ((bits & 1) != 0) p.gate.spec.gradient = spec::GateGradient::kDetach;
        if ((bits & 2) != 0) p.gate.alpha = Leaf(Normal({kSteps, kChannels}, 8, 2));
        p.call.training = (bits & 4) == 0;
      });
    }
  }
}

TEST(NormGateFire, AgreesWithSeparateOperationsWithNeuronResidualOrNeither) {
  ExpectFusedAgreesWithPlain([](Problem& p) { p.call.neuron = spec::NeuronSpec{}; });
  ExpectFusedAgreesWithPlain([](Problem& p) {
    p.call.neuron = spec::NeuronSpec{};
    p.call.pool = true;
    p.grad = NormalActivations({kSteps * kBatch, kChannels, 3, 3}, 3);
  });
  ExpectFusedAgreesWithPlain([](Problem& p) { p.call.residual = p.residual; });
  ExpectFusedAgreesWithPlain([](Problem& p) { p.call.gate = nullptr; });
  ExpectFusedAgreesWithPlain([](Problem& p) {
    p.call.gate = nullptr;
    p.call.training = false;
  });
}

TEST(NormGateFire, TreatsOneInputAsIfItWereThereAtEachStep) {
  ExpectFusedAgreesWithPlain([](Problem& p) {
    p.x = Leaf(NormalActivations({kBatch, kChannels, 7, 7}, 1, 0.4));
    p.call.gate = nullptr;
    p.call.neuron = spec::NeuronSpec{};
    p.call.same_input = true;
  });
}

TEST(NormGateFire, GivesTheSameBitsForAnyNumberOfThreads) {
  const int threads_before = at::get_num_threads();
  const auto change = [](Problem& p) {
    p.x = Leaf(NormalActivations({64, kChannels, 28, 28}, 1, 0.4));
    p.grad = NormalActivations({64, kChannels, 28, 28}, 3);
    p.call.neuron = spec::NeuronSpec{};
  };
  at::set_num_threads(1);
  const auto one = RunBothWays(NormGateFire, change);
  for (const int threads : {2, 3}) {
    at::set_num_threads(threads);
    const auto many = RunBothWays(NormGateFire, change);
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(many[i])) << "tensor " << i;
  }
  at::set_num_threads(threads_before);
}

TEST(NormGateFire, EvaluatesAPictureWithoutItsBatchMates) {
  for (const spec::AgmmReduce reduce :
       {spec::AgmmReduce::kSample, spec::AgmmReduce::kStep, spec::AgmmReduce::kSpatial}) {
    at::NoGradGuard no_grad;
    Problem p;
    p.gate.spec.reduce = reduce;
    p.call.training = false;
    const at::Tensor all = NormGateFire(p.x, p.norm, p.call);
    const at::Tensor x5 = p.x.view({kSteps, kBatch, kChannels, 7, 7});
    const at::Tensor alone =
        NormGateFire(x5.slice(1, 0, 1).reshape({kSteps, kChannels, 7, 7}), p.norm, p.call);
    const at::Tensor first = all.view({kSteps, kBatch, kChannels, 7, 7}).slice(1, 0, 1);
    EXPECT_LE(Difference(first.reshape(alone.sizes()), alone), 1e-6);
  }
}

TEST(NormGateFire, RefusesWrongShapes) {
  Problem p;
  EXPECT_THROW(NormGateFire(NormalActivations({6, 5, 7, 7}, 1), p.norm, p.call), c10::Error);
  EXPECT_THROW(NormGateFire(NormalActivations({5, kChannels, 7, 7}, 1), p.norm, p.call),
               c10::Error);
  p.call.same_input = true;
  EXPECT_THROW(NormGateFire(p.x, p.norm, p.call), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
