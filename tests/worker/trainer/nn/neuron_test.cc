#include "worker/trainer/nn/neuron.h"

#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/kernels/lif.h"

namespace bsnn::trainer {
namespace {

constexpr spec::Surrogate kSurrogates[] = {spec::Surrogate::kTriangle, spec::Surrogate::kSigmoid,
                                           spec::Surrogate::kArctangent,
                                           spec::Surrogate::kRectangle};

TEST(Surrogate, HasAreaOneForEveryShapeAndWidth) {
  for (const spec::Surrogate surrogate : kSurrogates) {
    for (const double width : {0.5, 1.0, 3.0}) {
      spec::NeuronSpec neuron;
      neuron.surrogate = surrogate;
      neuron.surrogate_width = width;
      double area = 0;
      constexpr double kStep = 1e-3;
      for (double d = -400; d < 400; d += kStep) {
        area += kStep * double{kernels::SurrogateDerivative(neuron, static_cast<float>(d))};
      }
      EXPECT_NEAR(area, 1.0, 5e-3) << static_cast<int>(surrogate) << " width " << width;
    }
  }
}

TEST(Lif, FiresAboveTheThresholdOnlyAndResets) {
  const at::Tensor x = at::tensor({1.0f, 1.5f, 0.9f, 0.5f}).view({4, 1, 1, 1});
  LifOptions options;
  options.steps = 4;  // u = 1 (no spike: not above), 0.5 + 1.5 = 2 (spike), 0.9, 0.45 + 0.5
  const at::Tensor count = at::zeros({2, 4}, at::kLong);
  EXPECT_TRUE(Lif(x, options, count).flatten().equal(at::tensor({0.0f, 1.0f, 0.0f, 0.0f})));
  EXPECT_TRUE(count.equal(at::tensor({0, 1, 0, 0, 1, 1, 1, 1}, at::kLong).view({2, 4})));
  options.neuron.reset = spec::Reset::kSoft;  // after the spike 1 is left: 0.5 + 0.9 = 1.4 fires
  EXPECT_TRUE(Lif(x, options).flatten().equal(at::tensor({0.0f, 1.0f, 1.0f, 0.0f})));
}

TEST(Lif, FastPassesAgreeWithPlainOnesForEveryOption) {
  for (const spec::Surrogate surrogate : kSurrogates) {
    for (const int bits : {0, 1, 2, 3, 4, 5, 6, 7}) {
      LifOptions options;
      options.steps = 3;
      options.neuron.surrogate = surrogate;
      options.neuron.surrogate_width = 1.5;
      options.neuron.reset = (bits & 1) != 0 ? spec::Reset::kSoft : spec::Reset::kHard;
      options.neuron.detach_reset = (bits & 2) != 0;
      options.same_input = (bits & 4) != 0;
      SCOPED_TRACE(testing::Message() << static_cast<int>(surrogate) << " bits " << bits);
      // 7 * 7 * 40 numbers: more than one tile, the last one short.
      const at::Tensor x = Leaf(NormalActivations({options.same_input ? 2 : 6, 40, 7, 7}, 1, 0.7));
      const at::Tensor grad = NormalActivations({6, 40, 7, 7}, 2);
      const at::Tensor spikes = Lif(x, options);
      const LifResult plain = LifForwardPlain(x.detach(), options);
      EXPECT_TRUE(spikes.detach().equal(plain.spikes));
      const at::Tensor grad_x = torch::autograd::grad({spikes}, {x}, {grad})[0];
      EXPECT_LE(Difference(grad_x, LifBackwardPlain(grad, plain.potential, options)), 1e-6);
    }
  }
}

TEST(Lif, PoolsItsSpikesAsMaxPool2Would) {
  for (const int64_t width : {6, 7}) {
    for (const bool same_input : {false, true}) {
      LifOptions options;
      options.steps = 2;
      options.same_input = same_input;
      const at::Tensor input =
          NormalActivations({same_input ? 3 : 6, 20, width + 1, width}, 1, 0.6);
      const at::Tensor x = Leaf(input), reference = Leaf(input);
      const at::Tensor expected = MaxPool2(Lif(reference, options));
      options.pool = true;
      const at::Tensor pooled = Lif(x, options);
      ASSERT_TRUE(pooled.equal(expected));
      const at::Tensor grad = NormalActivations(expected.sizes(), 2);
      EXPECT_TRUE(torch::autograd::grad({pooled}, {x}, {grad})[0].equal(
          torch::autograd::grad({expected}, {reference}, {grad})[0]));
    }
  }
}

TEST(Lif, RefusesABatchThatTimeDoesNotDivide) {
  LifOptions options;
  options.steps = 2;
  EXPECT_THROW(Lif(NormalActivations({3, 1, 1, 1}, 1), options), c10::Error);
  EXPECT_THROW(Lif(Normal({4, 1, 1}, 1), options), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
