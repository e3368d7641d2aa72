#include "worker/trainer/nn/conv.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/max_pool2d.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/worker/trainer/nn/tensors.h"

namespace bsnn::trainer {
namespace {

TEST(Conv2d, AnswersInChannelsLastMemoryForAnyInput) {
  for (const int64_t channels : {1, 3, 16}) {
    const at::Tensor x = Normal({2, channels, 9, 8}, 1), w = Normal({16, channels, 3, 3}, 2);
    const at::Tensor y = Conv2d(x, w, {.stride = 2, .padding = 1});
    EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast)) << channels;
    EXPECT_LE(Difference(y, at::conv2d(x, w, {}, 2, 1)), 1e-5) << channels;
  }
}

TEST(MaxPool2, AgreesWithTorchOnSpikesAndOnOddSides) {
  for (const int64_t side : {4, 7}) {
    const at::Tensor spikes = NormalActivations({3, 20, side, side + 1}, 1).gt(0.3).to(at::kFloat);
    const at::Tensor x = Leaf(spikes), reference = Leaf(spikes);
    const at::Tensor y = MaxPool2(x), expected = at::max_pool2d(reference, 2);
    ASSERT_TRUE(y.equal(expected)) << side;
    const at::Tensor grad = NormalActivations(y.sizes(), 2);
    EXPECT_TRUE(torch::autograd::grad({y}, {x}, {grad})[0].equal(
        torch::autograd::grad({expected}, {reference}, {grad})[0]))
        << side;
  }
}

TEST(MaxPool2, RefusesASideOfOne) {
  EXPECT_THROW(MaxPool2(NormalActivations({1, 1, 1, 4}, 1)), c10::Error);
}

}  // namespace
}  // namespace bsnn::trainer
