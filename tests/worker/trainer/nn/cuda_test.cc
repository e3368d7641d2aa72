// The CUDA passes against the CPU's kernels, values and gradients. In a build without CUDA the
// passes run on the CPU, thread by thread, so that their arithmetic is tested everywhere; in one
// with CUDA they run on a GPU, or the tests are skipped where there is none.
#include <ATen/Context.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "tests/worker/trainer/nn/tensors.h"
#include "worker/trainer/measure/flips.h"
#include "worker/trainer/nn/binarize.h"
#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/cuda/ops.h"

namespace bsnn::trainer {
namespace {

constexpr spec::Surrogate kSurrogates[] = {spec::Surrogate::kTriangle, spec::Surrogate::kSigmoid,
                                           spec::Surrogate::kArctangent,
                                           spec::Surrogate::kRectangle};

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!BSNN_CUDA) return;
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
    device_ = at::Device(at::kCUDA, 0);
  }
  at::Tensor There(const at::Tensor& tensor) const {
    return tensor.defined() ? tensor.detach().to(device_) : tensor;
  }
  at::Tensor LeafThere(const at::Tensor& value) const {
    return There(value).clone().requires_grad_(true);
  }

  at::Device device_ = at::kCPU;
};

class CudaLif : public Cuda {
 protected:
  void Expect(const LifOptions& options, at::IntArrayRef sizes) {
    const int64_t pictures = options.same_input ? sizes[0] * options.steps : sizes[0];
    const int64_t shrink = options.pool ? 2 : 1;
    const at::Tensor input = NormalActivations(sizes, 1, 0.6);
    const at::Tensor grad =
        NormalActivations({pictures, sizes[1], sizes[2] / shrink, sizes[3] / shrink}, 2);
    const at::Tensor expected_count = at::zeros({2, options.steps}, at::kLong);
    const at::Tensor count = There(expected_count);
    const at::Tensor x = Leaf(input), there = LeafThere(input);
    const at::Tensor expected = Lif(x, options, expected_count);
    const at::Tensor spikes = cuda::Lif(there, options, count);
    EXPECT_TRUE(spikes.detach().cpu().equal(expected.detach()));
    EXPECT_TRUE(count.cpu().equal(expected_count)) << count.cpu() << expected_count;
    const at::Tensor expected_grad = torch::autograd::grad({expected}, {x}, {grad})[0];
    const at::Tensor grad_x = torch::autograd::grad({spikes}, {there}, {There(grad)})[0];
    EXPECT_TRUE(grad_x.is_contiguous(at::MemoryFormat::ChannelsLast));
    // One order of the same operations, without contraction: the same bits.
    EXPECT_TRUE(grad_x.cpu().equal(expected_grad)) << Difference(grad_x.cpu(), expected_grad);
  }
};

TEST_F(CudaLif, IsTheCpusForEveryOption) {
  for (const spec::Surrogate surrogate : kSurrogates) {
    for (const int bits : {0, 1, 2, 3, 4, 5, 6, 7}) {
      LifOptions options;
      options.steps = 2;
      options.neuron.surrogate = surrogate;
      options.neuron.surrogate_width = 1.5;
      options.neuron.reset = (bits & 1) != 0 ? spec::Reset::kSoft : spec::Reset::kHard;
      options.neuron.detach_reset = (bits & 2) != 0;
      options.same_input = (bits & 4) != 0;
      SCOPED_TRACE(testing::Message() << static_cast<int>(surrogate) << " bits " << bits);
      Expect(options, {options.same_input ? 3 : 6, 20, 7, 7});
    }
  }
}

TEST_F(CudaLif, IsTheCpusForEveryShape) {
  for (const int64_t steps : {1, 2, 3, 4, 6}) {
    for (const int64_t channels : {1, 3, 8, 20}) {
      for (const int64_t side : {1, 5, 8, 18}) {
        SCOPED_TRACE(testing::Message() << "T " << steps << " C " << channels << " side " << side);
        LifOptions options;
        options.steps = steps;
        Expect(options, {2 * steps, channels, side, side + 1});
        if (side == 1) continue;
        options.pool = true;
        Expect(options, {2 * steps, channels, side, side + 1});
        options.same_input = true;
        Expect(options, {2, channels, side + 1, side});
      }
    }
  }
}

constexpr int64_t kSteps = 2, kBatch = 3;

struct Problem {
  int64_t channels = 24;
  at::Tensor x, residual, grad;
  BatchNorm norm;
  Gate gate;
  NormCall call;

  explicit Problem(int64_t c = 24, int64_t side = 7) : channels(c) {
    // An offset that is large against the spread: statistics must not cancel.
    x = NormalActivations({kSteps * kBatch, c, side, side}, 1, 20);
    residual = NormalActivations(x.sizes(), 2);
    grad = NormalActivations(x.sizes(), 3);
    norm = {Normal({c}, 4, 1.5), Normal({c}, 5), Normal({c}, 6, 20),
            Normal({c}, 7).square().add(0.5)};
    gate.alpha = Normal({kSteps}, 8, 2);
    gate.running_energy = Normal({kSteps}, 9);
    call.steps = kSteps;
    call.gate = &gate;
    call.gate_sum = at::zeros({2}, at::kDouble);
    call.spike_count = at::zeros({2, kSteps}, at::kLong);
  }
};

class CudaNormGateFire : public Cuda {
 protected:
  using Forward = std::function<at::Tensor(const at::Tensor&, const BatchNorm&, const NormCall&)>;

  /// Output, gradients, and what was counted and moved; all on the CPU.
  static std::vector<at::Tensor> Run(const Forward& forward, Problem& p, at::Device device) {
    const auto there = [&](at::Tensor& tensor, bool leaf) {
      if (!tensor.defined()) return;
      tensor = tensor.detach().clone().to(device);
      if (leaf) tensor.requires_grad_(true);
    };
    for (at::Tensor* t : {&p.x, &p.norm.weight, &p.norm.bias, &p.gate.alpha, &p.call.residual}) {
      there(*t, true);
    }
    for (at::Tensor* t : {&p.grad, &p.norm.running_mean, &p.norm.running_var,
                          &p.gate.running_energy, &p.call.gate_sum, &p.call.spike_count}) {
      there(*t, false);
    }
    std::vector<at::Tensor> inputs = {p.x, p.norm.weight, p.norm.bias};
    if (p.call.gate != nullptr) inputs.push_back(p.gate.alpha);
    if (p.call.residual.defined()) inputs.push_back(p.call.residual);
    const at::Tensor y = forward(p.x, p.norm, p.call);
    std::vector<at::Tensor> out = {y.detach()};
    for (const at::Tensor& g : torch::autograd::grad({y}, inputs, {p.grad})) out.push_back(g);
    out.insert(out.end(), {p.norm.running_mean, p.norm.running_var, p.gate.running_energy,
                           p.call.gate_sum.to(at::kFloat), p.call.spike_count.to(at::kFloat)});
    for (at::Tensor& tensor : out) tensor = tensor.cpu();
    return out;
  }

  void Expect(const std::function<void(Problem&)>& change, int64_t channels = 24,
              int64_t side = 7) {
    Problem here(channels, side), there(channels, side);
    change(here);
    change(there);
    const auto expected = Run(NormGateFire, here, at::kCPU);
    const auto actual = Run(cuda::NormGateFire, there, device_);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_LE(Difference(actual[i], expected[i]), 2e-5) << "tensor " << i;
    }
  }
};

TEST_F(CudaNormGateFire, IsTheCpusForEveryGate) {
  for (const spec::AgmmReduce reduce :
       {spec::AgmmReduce::kSample, spec::AgmmReduce::kChannel, spec::AgmmReduce::kStep}) {
    for (int bits = 0; bits < 8; ++bits) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(reduce) << " bits " << bits);
      Expect([&](Problem& p) {
        p.gate.spec.reduce = reduce;
        if ((bits & 1) != 0) p.gate.spec.gradient = spec::GateGradient::kDetach;
        if ((bits & 2) != 0) p.gate.alpha = Normal({kSteps, p.channels}, 8, 2);
        p.call.training = (bits & 4) == 0;
      });
    }
  }
}

TEST_F(CudaNormGateFire, IsTheCpusWithNeuronResidualOrNeither) {
  const auto center = [](Problem& p) {
    p.x = p.x.sub(19.6).contiguous(at::MemoryFormat::ChannelsLast);
  };
  for (const int64_t channels : {3, 24, 132}) {
    for (const int64_t side : {4, 7, 20}) {
      SCOPED_TRACE(testing::Message() << "C " << channels << " side " << side);
      Expect([](Problem& p) { p.call.residual = p.residual; }, channels, side);
      Expect([](Problem& p) { p.call.gate = nullptr; }, channels, side);
      Expect(
          [&](Problem& p) {
            center(p);
            p.call.neuron = spec::NeuronSpec{};
          },
          channels, side);
      Expect(
          [&](Problem& p) {
            center(p);
            p.call.neuron = spec::NeuronSpec{};
            p.call.pool = true;
            p.grad = NormalActivations({kSteps * kBatch, channels, side / 2, side / 2}, 3);
          },
          channels, side);
      Expect(
          [&](Problem& p) {
            center(p);
            p.x = p.x.slice(0, 0, kBatch).contiguous(at::MemoryFormat::ChannelsLast);
            p.call.gate = nullptr;
            p.call.neuron = spec::NeuronSpec{};
            p.call.same_input = true;
          },
          channels, side);
    }
  }
}

TEST_F(CudaNormGateFire, EvaluatesWithoutAGateByTheRunningStatistics) {
  Expect([](Problem& p) {
    p.call.gate = nullptr;
    p.call.training = false;
  });
}

TEST_F(CudaNormGateFire, HasOperationsThatAreAlsoRightOneByOne) {
  Problem here, there;
  const auto expected = Run(NormGateFire, here, at::kCPU);
  const auto plain = Run(NormGateFirePlain, there, device_);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_LE(Difference(plain[i], expected[i]), 2e-4) << i;
}

TEST_F(CudaNormGateFire, RepeatsToTheBit) {
  const auto run = [&] {
    Problem p(64, 20);
    p.call.residual = p.residual;
    return Run(cuda::NormGateFire, p, device_);
  };
  const auto first = run(), second = run();
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(first[i].equal(second[i])) << i;
}

using CudaSpikeConv2d = Cuda;

TEST_F(CudaSpikeConv2d, IsTheFloat32ProductOnTensorCores) {
  if (BSNN_CUDA) cuda::SetUp(/*fused=*/true);
  for (const int64_t stride : {1, 2}) {
    const at::Tensor input = NormalActivations({6, 64, 9, 9}, 1).gt(0.5).to(at::kFloat);
    const at::Tensor latent = Normal({32, 64, 3, 3}, 2);
    const at::Tensor effective = Binarize(latent, spec::Binarization::kStandardized, 1).detach();
    const at::Tensor x = Leaf(input), w = Leaf(effective), x_there = LeafThere(input),
                     w_there = LeafThere(effective);
    const at::Tensor expected = Conv2d(x, w, {.stride = stride});
    const at::Tensor y = cuda::SpikeConv2d(x_there, w_there, {.stride = stride});
    EXPECT_TRUE(y.detach().cpu().equal(expected.detach()));  // whole numbers times a power of two
    const at::Tensor grad = NormalActivations(expected.sizes(), 3);
    const auto grads = torch::autograd::grad({y}, {x_there, w_there}, {There(grad)});
    const auto expected_grads = torch::autograd::grad({expected}, {x, w}, {grad});
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_LE(Difference(grads[i].cpu(), expected_grads[i]), 1e-5) << i;
    }
  }
}

using CudaBinarize = Cuda;

TEST_F(CudaBinarize, IsTheCpusForEveryMethodAndSharpness) {
  for (const spec::Binarization method : {spec::Binarization::kSign, spec::Binarization::kMeanAbs,
                                          spec::Binarization::kStandardized}) {
    for (const double sharpness : {0.1, 1.0, 10.0}) {
      for (const std::vector<int64_t>& sizes :
           {std::vector<int64_t>{5, 3, 1, 1}, std::vector<int64_t>{6, 40, 3, 3}}) {
        SCOPED_TRACE(testing::Message() << static_cast<int>(method) << " " << sharpness);
        const at::Tensor latent = Normal(sizes, 1, 0.1), grad = Normal(sizes, 2);
        const at::Tensor w = Leaf(latent), there = LeafThere(latent);
        const at::Tensor expected = Binarize(w, method, sharpness);
        const at::Tensor effective = cuda::Binarize(there, method, sharpness);
        EXPECT_LE(Difference(effective.cpu(), expected), 1e-6);
        EXPECT_LE(Difference(torch::autograd::grad({effective}, {there}, {There(grad)})[0].cpu(),
                             torch::autograd::grad({expected}, {w}, {grad})[0]),
                  1e-5);
      }
    }
  }
}

using CudaMeasures = Cuda;

TEST_F(CudaMeasures, PacksSignsAndCountsFlipsAsTheCpu) {
  for (const auto& method : {std::optional<spec::Binarization>(),
                             {spec::Binarization::kSign},
                             {spec::Binarization::kStandardized}}) {
    const WeightLayer before{"layer", Normal({5, 7, 3, 3}, 1, 0.3), method};
    const WeightLayer after{"layer", Normal({5, 7, 3, 3}, 2, 0.3), method};
    const auto pack = [](const WeightLayer& layer) {
      const at::Tensor words = at::zeros({layer.words()}, at::kLong);
      PackSigns(layer, {reinterpret_cast<uint64_t*>(words.mutable_data_ptr<int64_t>()),
                        static_cast<size_t>(words.numel())});
      return words;
    };
    const at::Tensor signs = at::zeros({before.words()}, at::kLong).to(device_);
    const at::Tensor flipped = at::zeros_like(signs), flips = signs.slice(0, 0, 1).clone().zero_();
    cuda::PackSigns(There(before.latent), method, signs, {}, {});
    EXPECT_TRUE(signs.cpu().equal(pack(before)));
    cuda::PackSigns(There(after.latent), method, signs, flipped, flips);
    EXPECT_TRUE(signs.cpu().equal(pack(after)));
    const at::Tensor changed = pack(before).bitwise_xor(pack(after));
    EXPECT_TRUE(flipped.cpu().equal(changed));
    int64_t bits = 0;
    for (int64_t i = 0; i < changed.numel(); ++i) {
      bits += __builtin_popcountll(static_cast<uint64_t>(changed[i].item<int64_t>()));
    }
    EXPECT_EQ(flips.item<int64_t>(), bits);
  }
}

TEST_F(CudaMeasures, AddsMomentsInFloat64) {
  const at::Tensor values = Normal({300, 301}, 1, 5), sums = There(at::zeros({3}, at::kDouble));
  for (int i = 0; i < 2; ++i) cuda::AddMoments(There(values), sums);
  const at::Tensor expected = values.to(at::kDouble), actual = sums.cpu();
  EXPECT_EQ(actual[0].item<double>(), 2 * 300 * 301);
  EXPECT_NEAR(actual[1].item<double>(), 2 * expected.sum().item<double>(), 1e-6);
  EXPECT_NEAR(actual[2].item<double>(), 2 * expected.square().sum().item<double>(), 1e-5);
}

}  // namespace
}  // namespace bsnn::trainer
