#include "worker/trainer/nn/fire_conv_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/worker/trainer/nn/product_units.h"
#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/nn/kernels/affine.h"
#include "worker/trainer/nn/spike_conv.h"

namespace bsnn::trainer {
namespace {

struct Case {
  int64_t steps, batch, in, out, side, stride;
  bool adds_input;  ///< else the pooled input leaves for another shortcut
  bool gate = true;
  bool training = true;
  spec::NeuronSpec neuron = {};
  bool scaled = false;      ///< weights are not -1 and +1, and one output's are 0
  bool same_input = false;  ///< x is there once for all steps
};

/// Everything that a block gives: outputs, gradients, and what it counts and moves.
using Results = std::vector<std::pair<std::string, at::Tensor>>;

Results RunBlock(const Case& c, bool fused, ProductUnit unit = ProductUnit::kTables) {
  const int64_t inputs_each = c.same_input ? 1 : c.steps;
  const at::Tensor x = Leaf(
                       NormalActivations({inputs_each * c.batch, c.in, c.side, c.side + 1}, 1)),
                   signs = Normal({c.out, c.in, 3, 3}, 2).ge(0).to(at::kFloat).mul(2).sub(1),
                   scale = Normal({c.out, 1, 1, 1}, 10).abs().add(0.1),
                   weight = Leaf(c.scaled ? signs.mul(scale) : signs);
  if (c.scaled) weight.data()[1].zero_();
  const BatchNorm norm{Leaf(Normal({c.out}, 3).abs().add(0.5)), Leaf(Normal({c.out}, 4)),
                       Normal({c.out}, 5), Normal({c.out}, 6).abs().add(0.5)};
  const Gate gate{{}, Leaf(Normal({c.steps}, 7).abs().add(1)), {}};
  const at::Tensor count = at::zeros({2, c.steps}, at::kLong), gates = at::zeros({2}, at::kDouble);
  const LifOptions lif{.neuron = c.neuron, .steps = c.steps, .same_input = c.same_input};
  const ConvOptions conv{.stride = c.stride, .padding = 1, .unit = unit};
  NormCall call{.steps = c.steps, .training = c.training};
  call.gate = c.gate ? &gate : nullptr;
  call.residual = c.adds_input ? x : at::Tensor();
  call.spike_count = count;
  call.gate_sum = gates;
  NormCall separate = call;
  if (c.adds_input && c.same_input) separate.residual = x.repeat({c.steps, 1, 1, 1});
  const FiredNorm block =
      fused ? FireConvNorm(x, weight, lif, conv, norm, call)
            : FiredNorm{NormGateFire(SpikeConv2d(Lif(x, lif, count), weight, conv), norm, separate),
                        ShortcutPool(x)};
  std::vector<at::Tensor> outputs = {block.y}, seeds = {NormalActivations(block.y.sizes(), 8)};
  EXPECT_EQ(block.pooled.defined(), !fused || !c.adds_input);
  if (!c.adds_input) {
    outputs.push_back(block.pooled.mul(2));
    seeds.push_back(NormalActivations(block.pooled.sizes(), 9));
  }
  std::vector<at::Tensor> inputs = {x, weight, norm.weight, norm.bias};
  if (c.gate) inputs.push_back(gate.alpha);
  const auto grads = torch::autograd::grad(outputs, inputs, seeds);
  Results out = {{"y", block.y.detach()},
                 {"spikes", count.to(at::kFloat)},
                 {"gates", gates},
                 {"mean", norm.running_mean},
                 {"variance", norm.running_var}};
  if (!c.adds_input) out.emplace_back("pooled", block.pooled.detach());
  const char* const names[] = {"dL/dx", "dL/dweight", "dL/dscale", "dL/dbias", "dL/dalpha"};
  for (size_t i = 0; i < grads.size(); ++i) out.emplace_back(names[i], grads[i]);
  return out;
}

TEST(FireConvNorm, IsTheNeuronTheConvolutionAndTheNormalisation) {
  std::vector<Case> cases = {{2, 32, 32, 32, 8, 1, true},   // in four parts of 8
                             {2, 37, 32, 64, 6, 2, false},  // the last part smaller
                             {3, 21, 40, 40, 5, 1, true},   // parts of 5
                             {3, 21, 40, 24, 5, 2, false},
                             {1, 70, 8, 72, 4, 1, false},  // parts of 16
                             {4, 5, 64, 64, 5, 1, true},   // too few parts: whole passes
                             {4, 5, 64, 32, 5, 2, false},
                             {2, 40, 256, 256, 2, 1, true},       // sums too large for parts
                             {2, 32, 32, 32, 6, 1, true, false},  // no gate
                             {2, 32, 16, 16, 6, 1, true, true, false},
                             {2, 32, 16, 24, 6, 2, false, false, false},
                             {3, 8, 12, 16, 5, 1, false}};  // in separate operations
  for (const bool detach : {false, true}) {
    for (const spec::Reset reset : {spec::Reset::kHard, spec::Reset::kSoft}) {
      Case c{2, 32, 16, 16, 4, 1, detach};
      c.neuron.reset = reset;
      c.neuron.detach_reset = detach;
      c.neuron.surrogate = spec::Surrogate::kSigmoid;
      cases.push_back(c);
    }
  }
  for (const auto& [steps, batch, channels] :
       {std::tuple{1, 70, 8}, {2, 32, 32}, {3, 21, 40}, {4, 5, 64}, {3, 8, 12}}) {
    cases.push_back(
        {steps, batch, channels, channels, 5, 1, true});  // in parts, or whole, or apart
    cases.back().same_input = true;
  }
  for (const bool training : {true, false}) {
    cases.push_back({2, 32, 16, 24, 6, 1, false, true, training, {}, true});
  }
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::Message() << c.steps << " x " << c.batch << ", " << c.in << " to "
                                    << c.out << (c.scaled ? ", scaled" : ""));
    const Results separate = RunBlock(c, false);
    for (const auto& [unit, tolerance] : UnitCases()) {
      const Results fused = RunBlock(c, true, unit);
      ASSERT_EQ(fused.size(), separate.size());
      for (size_t i = 0; i < fused.size(); ++i) {
        SCOPED_TRACE(testing::Message() << fused[i].first << " by " << static_cast<int>(unit));
        // Sums of whole numbers are exact there, and rounded in the separate operations.
        const bool whole = fused[i].first == "spikes" || fused[i].first == "pooled" ||
                           (fused[i].first == "mean" && !c.scaled);
        EXPECT_LE(Difference(fused[i].second, separate[i].second), whole ? 0 : tolerance);
      }
    }
  }
}

TEST(PictureMoments, OfWholeNumbersAreExactWhereTheirSquaresFillInt32) {
  constexpr int64_t kPixels = 3000, kChannels = 3, kMost = 32767;
  std::vector<int16_t> x(kPixels * kChannels);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<int16_t>(i % 2 == 0 ? kMost - int64_t(i % 7) : int64_t(i % 11) - kMost);
  }
  std::vector<double> sum(kChannels), square(kChannels);
  kernels::PictureMoments({kPixels, kChannels}, x.data(), kMost, sum.data(), square.data(), 0, 1);
  for (int64_t c = 0; c < kChannels; ++c) {
    int64_t whole = 0, squares = 0;
    for (int64_t p = 0; p < kPixels; ++p) {
      const int64_t value = x[p * kChannels + c];
      whole += value;
      squares += value * value;
    }
    EXPECT_EQ(sum[c], static_cast<double>(whole));
    const double about_mean = static_cast<double>(squares) - sum[c] * sum[c] / kPixels;
    EXPECT_NEAR(square[c] / about_mean, 1, 1e-12);
  }
}

TEST(FireConvNorm, GivesTheSameBitsOnAnyNumberOfThreads) {
  const Case c{2, 48, 40, 40, 7, 1, true};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Results one = RunBlock(c, true);
  at::set_num_threads(3);
  const Results three = RunBlock(c, true);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(one[i].second.equal(three[i].second)) << one[i].first;
  }
}

TEST(FireConvNorm, LetsOnlyTheShortcutCarryAGradient) {
  const at::Tensor x = Leaf(NormalActivations({4, 8, 5, 5}, 1)), weight = at::ones({8, 8, 3, 3});
  const BatchNorm norm{at::ones({8}), at::zeros({8}), at::zeros({8}), at::ones({8})};
  const FiredNorm block = FireConvNorm(x, weight, {.steps = 2}, {.padding = 1}, norm, {.steps = 2});
  const auto grads = torch::autograd::grad({block.pooled.sum()}, {x}, {}, false, false, true);
  const auto separate = torch::autograd::grad({ShortcutPool(x).sum()}, {x});
  EXPECT_TRUE(grads[0].equal(separate[0]));
}

TEST(FireConvNorm, RefusesWhatDoesNotFit) {
  const at::Tensor x = NormalActivations({4, 8, 5, 5}, 1), weight = at::ones({8, 8, 3, 3});
  const BatchNorm norm{at::ones({8}), at::zeros({8}), at::zeros({8}), at::ones({8})};
  const BatchNorm wide{at::ones({9}), at::zeros({9}), at::zeros({9}), at::ones({9})};
  EXPECT_THROW(FireConvNorm(x, weight, {.steps = 3}, {.padding = 1}, norm, {.steps = 3}),
               c10::Error);
  EXPECT_THROW(FireConvNorm(x, weight, {.steps = 2}, {.padding = 1}, norm, {.steps = 4}),
               c10::Error);
  EXPECT_THROW(FireConvNorm(x, weight, {.steps = 2}, {.padding = 1}, wide, {.steps = 2}),
               c10::Error);
  NormCall call{.steps = 2};
  const LifOptions same{.steps = 2, .same_input = true};
  EXPECT_THROW(FireConvNorm(x, weight, same, {.padding = 1}, norm, call), c10::Error);
  call.residual = x.clone();
  EXPECT_THROW(FireConvNorm(x, weight, {.steps = 2}, {.padding = 1}, norm, call), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
