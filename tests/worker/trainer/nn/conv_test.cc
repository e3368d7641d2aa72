#include "worker/trainer/nn/conv.h"

#include <ATen/Parallel.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <atomic>

#include "tests/worker/trainer/nn/product_units.h"
#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/spike_conv.h"

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

struct SpikeConvCase {
  std::vector<int64_t> input;  ///< N, I, H, W
  int64_t out, kernel, stride, padding;
};

struct SpikeConvRun {
  at::Tensor y, grad_x, grad_weight;
};

SpikeConvRun RunSpikeConv(const SpikeConvCase& c, at::ScalarType type, bool bf16 = false,
                          ProductUnit unit = ProductUnit::kTables) {
  const at::Tensor spikes = NormalActivations(c.input, 1).gt(0.4).to(at::kFloat);
  const at::Tensor scale = Normal({c.out, 1, 1, 1}, 2).abs().add(0.1);
  const at::Tensor sign = Normal({c.out, c.input[1], c.kernel, c.kernel}, 3).ge(0);
  const at::Tensor x = Leaf(spikes.to(type)),
                   weight = Leaf(at::where(sign, scale, -scale).to(type).contiguous());
  const at::Tensor y =
      type == at::kDouble
          ? at::conv2d(x, weight, {}, c.stride, c.padding)
          : SpikeConv2d(x, weight,
                        {.stride = c.stride, .padding = c.padding, .bf16 = bf16, .unit = unit});
  at::Tensor grad = NormalActivations(y.sizes(), 4);
  if (bf16 && type == at::kDouble) grad = grad.to(at::kBFloat16);
  grad = grad.to(type);
  const auto grads = torch::autograd::grad({y}, {x, weight}, {grad});
  return {y.detach(), grads[0], grads[1]};
}

TEST(SpikeConv2d, AgreesWithConv2dInFloat64ForAnyShape) {
  const std::vector<SpikeConvCase> cases = {
      {{3, 8, 7, 5}, 5, 3, 1, 1},     {{17, 32, 6, 6}, 20, 3, 2, 1}, {{2, 72, 9, 9}, 130, 3, 1, 1},
      {{5, 64, 8, 8}, 64, 1, 1, 0},   {{2, 16, 5, 5}, 16, 5, 2, 2},  {{3, 96, 4, 4}, 24, 1, 2, 0},
      {{40, 128, 8, 8}, 32, 3, 1, 1}, {{1, 8, 1, 1}, 1, 1, 1, 0},    {{2, 24, 3, 4}, 7, 3, 3, 0},
      {{4, 320, 2, 2}, 320, 3, 1, 1}, {{2, 12, 6, 6}, 9, 3, 1, 1}};  // the last: by Conv2d
  for (const SpikeConvCase& c : cases) {
    SCOPED_TRACE(testing::Message() << c.input[0] << "x" << c.input[1] << "x" << c.input[2] << "x"
                                    << c.input[3] << " to " << c.out << " kernel " << c.kernel);
    const SpikeConvRun exact = RunSpikeConv(c, at::kDouble);
    for (const auto& [unit, tolerance] : UnitCases()) {
      const SpikeConvRun fast = RunSpikeConv(c, at::kFloat, false, unit);
      EXPECT_TRUE(fast.y.is_contiguous(at::MemoryFormat::ChannelsLast));
      EXPECT_LE(Difference(fast.y, exact.y), 2e-7);
      EXPECT_LE(Difference(fast.grad_x, exact.grad_x), tolerance) << static_cast<int>(unit);
      EXPECT_LE(Difference(fast.grad_weight, exact.grad_weight), tolerance)
          << static_cast<int>(unit);
    }
  }
}

TEST(SpikeConv2d, WithBf16RoundsTheGradientAndNothingElse) {
  for (const int64_t out : {24, 80}) {
    const SpikeConvCase c{{18, 48, 6, 6}, out, 3, 1, 1};
    const SpikeConvRun exact = RunSpikeConv(c, at::kDouble, true),
                       unrounded = RunSpikeConv(c, at::kFloat);
    for (const auto& [unit, tolerance] : UnitCases()) {
      const SpikeConvRun fast = RunSpikeConv(c, at::kFloat, true, unit);
      EXPECT_TRUE(fast.y.equal(unrounded.y));
      EXPECT_LE(Difference(fast.grad_x, exact.grad_x), tolerance) << static_cast<int>(unit);
      EXPECT_LE(Difference(fast.grad_weight, exact.grad_weight), 1e-6) << static_cast<int>(unit);
    }
    const double gap = Difference(unrounded.grad_weight, exact.grad_weight);
    EXPECT_GT(gap, 1e-4);
    EXPECT_LT(gap, 1e-2);
  }
}

// at::parallel_for compiled without OpenMP runs on one thread and says nothing of it.
TEST(ForPictures, SharesPicturesBetweenAllThreads) {
#if defined(__clang__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "built without OpenMP (cmake/Dependencies.cmake)";
#endif
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  std::array<std::atomic<int64_t>, 3> pictures{};
  ForPictures(48, 1 << 20, [&](int64_t first, int64_t last) {
    pictures.at(static_cast<size_t>(at::get_thread_num())) += last - first;
  });
  at::set_num_threads(before);
  for (const auto& share : pictures) EXPECT_EQ(share, 16);
}

TEST(SpikeConv2d, GivesTheSameBitsOnAnyNumberOfThreads) {
  const SpikeConvCase c{{37, 64, 9, 9}, 80, 3, 1, 1};
  const int before = at::get_num_threads();
  for (const UnitCase& unit : UnitCases()) {
    at::set_num_threads(1);
    const SpikeConvRun one = RunSpikeConv(c, at::kFloat, false, unit.unit);
    at::set_num_threads(3);
    const SpikeConvRun three = RunSpikeConv(c, at::kFloat, false, unit.unit);
    at::set_num_threads(before);
    EXPECT_TRUE(one.y.equal(three.y));
    EXPECT_TRUE(one.grad_x.equal(three.grad_x));
    EXPECT_TRUE(one.grad_weight.equal(three.grad_weight));
  }
}

TEST(SpikeConv2d, RefusesWhatDoesNotFit) {
  const at::Tensor x = NormalActivations({2, 16, 4, 4}, 1).gt(0).to(at::kFloat);
  EXPECT_THROW(SpikeConv2d(x, Normal({8, 24, 3, 3}, 2), {}), c10::Error);
  EXPECT_THROW(SpikeConv2d(x, Normal({8, 16, 3, 5}, 2), {}), c10::Error);
  EXPECT_THROW(SpikeConv2d(x, Normal({8, 16, 7, 7}, 2), {.stride = 1, .padding = 1}), c10::Error);
  EXPECT_THROW(SpikeConv2d(x, Normal({8, 16, 3, 3}, 2), {.stride = 0, .padding = 1}), c10::Error);
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
