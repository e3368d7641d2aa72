#include "worker/trainer/nn/binarize.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <bit>
#include <cmath>

#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/nn/weight_layer.h"

namespace bsnn::trainer {
namespace {

using spec::Binarization;

TEST(Binarize, TakesZeroForPlusOne) {
  const at::Tensor zero = at::zeros({1, 2, 3, 3});
  EXPECT_EQ(Binarize(zero, Binarization::kSign, 1).min().item<float>(), 1.0f);
}

TEST(Binarize, StandardizedScalesArePowersOfTwoAndIgnoreTheMean) {
  const at::Tensor w = Normal({8, 4, 3, 3}, 1);
  const at::Tensor effective = Binarize(w, Binarization::kStandardized, 1);
  EXPECT_TRUE(effective.equal(Binarize(w.mul(0.25).add(3), Binarization::kStandardized, 1)));
  const float scale = effective.abs().max().item<float>();
  EXPECT_EQ(std::exp2(std::round(std::log2(scale))), scale);
}

TEST(Binarize, StaysFiniteWhereAChannelHasNoSpread) {
  const at::Tensor w = Leaf(at::full({2, 2, 3, 3}, 0.5));
  const at::Tensor effective = Binarize(w, Binarization::kStandardized, 1);
  const at::Tensor grad = torch::autograd::grad({effective.sum()}, {w})[0];
  EXPECT_TRUE(effective.isfinite().all().item<bool>());
  EXPECT_FALSE(grad.isnan().any().item<bool>());
}

TEST(Binarize, StandardizedGradientIsThatOfItsSmoothSign) {
  // d/dw of sum(c k tanh(t z(w))), by central differences in float64, is the rule's gradient with
  // the scale left out; t z is the argument and k t (1 - tanh^2) the slope.
  const double t = 0.7;
  const at::Tensor w = Leaf(Normal({1, 2, 3, 3}, 1)), c = Normal({1, 2, 3, 3}, 2);
  const at::Tensor effective = Binarize(w, Binarization::kStandardized, t);
  const double scale = effective.abs().max().item<double>();
  const at::Tensor grad = torch::autograd::grad({effective}, {w}, {c})[0].flatten();
  const at::Tensor base = w.detach().to(at::kDouble).flatten();
  const auto smooth = [&](const at::Tensor& at_w) {
    const at::Tensor centered = at_w.sub(at_w.mean());
    const at::Tensor z = centered.div(centered.square().sum().div(17.0).sqrt());
    return z.mul(t).tanh().mul(c.flatten()).sum().item<double>() * std::max(1 / t, 1.0) * scale;
  };
  for (int64_t i = 0; i < 18; ++i) {
    at::Tensor up = base.clone(), down = base.clone();
    up[i].add_(1e-5);
    down[i].sub_(1e-5);
    EXPECT_NEAR(grad[i].item<double>(), (smooth(up) - smooth(down)) / 2e-5, 1e-5) << i;
  }
}

TEST(PackSigns, HoldsTheDeployedSignOfEachWeight) {
  for (const auto method : {std::optional(Binarization::kStandardized),
                            std::optional(Binarization::kSign), std::optional<Binarization>()}) {
    const WeightLayer layer{"l", Normal({5, 3, 3, 3}, 1, 0.3), method};
    std::vector<uint64_t> words(layer.words(), ~uint64_t{0});
    PackSigns(layer, words);
    const at::Tensor effective =
        Binarize(layer.latent, method.value_or(Binarization::kSign), 1).flatten();
    for (int64_t i = 0; i < layer.weights(); ++i) {
      EXPECT_EQ((words[i / 64] >> (i % 64)) & 1, effective[i].item<float>() > 0) << i;
    }
    EXPECT_EQ(words.back() >> (layer.weights() % 64), 0u);
  }
}

TEST(RoundToInt8, HasAtMost255EvenlySpacedValuesAndPassesTheGradient) {
  const at::Tensor weight = Leaf(Normal({20, 30}, 1));
  const at::Tensor rounded = RoundToInt8(weight);
  const double scale = weight.detach().abs().max().item<double>() / 127;
  const at::Tensor levels = rounded.detach().div(scale);
  EXPECT_LE(Difference(levels, levels.round()), 1e-4);
  EXPECT_LE(levels.abs().max().item<double>(), 127.001);
  EXPECT_LE(rounded.detach().sub(weight.detach()).abs().max().item<double>(), scale * 0.501);
  rounded.sum().backward();
  EXPECT_TRUE(weight.grad().equal(at::ones({20, 30})));
  EXPECT_TRUE(RoundToInt8(at::zeros({3})).equal(at::zeros({3})));
}

TEST(Binarize, RefusesWhatItCannotTake) {
  EXPECT_THROW(Binarize(Normal({2, 2}, 1), Binarization::kSign, 1), c10::Error);
  EXPECT_THROW(Binarize(Normal({2, 1, 1, 1}, 1), Binarization::kStandardized, 1), c10::Error);
  EXPECT_THROW(Binarize(Normal({2, 2, 3, 3}, 1), Binarization::kStandardized, 0), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
