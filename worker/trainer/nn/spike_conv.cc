#include "worker/trainer/nn/spike_conv.h"

#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/kernels/amx.h"
#include "worker/trainer/nn/spike_conv_pass.h"

namespace bsnn::trainer {
namespace {

using kernels::BinaryConvShape;
using kernels::BinaryWeights;

BinaryConvShape ShapeOf(const at::Tensor& x, int64_t pictures, const at::Tensor& weight,
                        const ConvOptions& options) {
  return {.pictures = pictures,
          .height = x.size(2),
          .width = x.size(3),
          .in = x.size(1),
          .out = weight.size(0),
          .kernel = weight.size(2),
          .stride = options.stride,
          .padding = options.padding,
          .bf16 = options.bf16,
          .unit = options.unit};
}

class SpikeConvFunction : public torch::autograd::Function<SpikeConvFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const ConvOptions& options) {
    const at::Tensor spikes = ChannelsLast(input);
    const SpikeConvState state = MakeSpikeConvState(spikes, spikes.size(0), weight, options);
    const BinaryConvShape& s = state.shape;
    at::Tensor bits = at::empty({s.bit_bytes()}, spikes.options().dtype(at::kByte));
    at::Tensor y = EmptyChannelsLast({s.pictures, s.out, s.out_height(), s.out_width()}, spikes);
    const float* const x = spikes.const_data_ptr<float>();
    uint8_t* const packed = bits.mutable_data_ptr<uint8_t>();
    float* const to = y.mutable_data_ptr<float>();
    const int64_t plane = s.out_pixels() * s.out;
    ForPictures(s.pictures, s.height * s.width * s.in, [&](int64_t first, int64_t last) {
      BinaryConvShape one = s;
      one.pictures = 1;
      std::vector<int16_t> counts(plane);
      kernels::PackSpikes(s, x, packed, first, last);
      for (int64_t n = first; n < last; ++n) {
        kernels::RunBinaryConv(one, *state.weights, packed + n * s.bit_picture(), counts.data(), 0,
                               1);
        kernels::ScaleCounts(s, *state.weights, counts.data(), s.out_pixels(), to + n * plane);
      }
    });
    ctx->save_for_backward({bits});
    Keep(ctx, state);
    return y;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const SpikeConvState& state = KeptBy<SpikeConvState>(ctx);
    const at::Tensor grad_y = ChannelsLast(grads[0]);
    return {ctx->needs_input_grad(0) ? RunGradInput(state, grad_y) : at::Tensor(),
            ctx->needs_input_grad(1) ? RunGradWeight(state, ctx->get_saved_variables()[0], grad_y)
                                     : at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

kernels::ProductUnit ProductUnitFor(spec::Products products) {
  const bool amx = products == spec::Products::kAuto && kernels::AmxWorks();
  return amx ? kernels::ProductUnit::kAmx : kernels::ProductUnit::kTables;
}

void CheckSpikeConv(const char* what, const at::Tensor& x, const at::Tensor& weight,
                    const ConvOptions& options) {
  CheckActivations(what, x);
  TORCH_CHECK(weight.dim() == 4 && weight.scalar_type() == at::kFloat && weight.is_contiguous() &&
                  weight.size(1) == x.size(1) && weight.size(2) == weight.size(3),
              what, ": weight is ", weight.sizes(), " ", weight.scalar_type(), "; allowed: [O, ",
              x.size(1), ", k, k] float32, contiguous");
  const BinaryConvShape s = ShapeOf(x, x.size(0), weight, options);
  TORCH_CHECK(options.stride >= 1 && options.padding >= 0 && s.pictures >= 1 &&
                  s.height + 2 * s.padding >= s.kernel && s.width + 2 * s.padding >= s.kernel,
              what, ": the input is ", x.sizes(), ", kernel ", s.kernel, ", stride ", s.stride,
              ", padding ", s.padding, "; allowed: at least one output pixel");
}

bool CanPackSpikes(const at::Tensor& x, const at::Tensor& weight) {
  return x.is_cpu() && x.size(1) % 8 == 0 && weight[0].numel() <= kernels::kMostFanIn;
}

SpikeConvState MakeSpikeConvState(const at::Tensor& x, int64_t pictures, const at::Tensor& weight,
                                  const ConvOptions& options) {
  const BinaryConvShape s = ShapeOf(x, pictures, weight, options);
  auto packed = std::make_shared<BinaryWeights>(s);
  const float* const from = weight.const_data_ptr<float>();
  at::parallel_for(0, at::divup(s.out, kernels::kOutputBlock), 1, [&](int64_t first, int64_t last) {
    kernels::PackBinaryWeights(s, from, *packed, first, last);
  });
  return {s, packed};
}

at::Tensor RunGradInput(const SpikeConvState& state, const at::Tensor& grad_y) {
  const BinaryConvShape& s = state.shape;
  at::Tensor grad_x = EmptyChannelsLast({s.pictures, s.in, s.height, s.width}, grad_y);
  const float* const from = grad_y.const_data_ptr<float>();
  float* const to = grad_x.mutable_data_ptr<float>();
  at::parallel_for(0, kernels::GradInputUnits(s), 1, [&](int64_t first, int64_t last) {
    kernels::RunBinaryConvGradInput(s, *state.weights, from, to, first, last);
  });
  return grad_x;
}

at::Tensor RunGradWeight(const SpikeConvState& state, const at::Tensor& bits,
                         const at::Tensor& grad_y) {
  const BinaryConvShape& s = state.shape;
  const kernels::GradWeightPlan plan = kernels::PlanGradWeight(s);
  at::Tensor sums = at::empty({plan.shares * plan.share_size}, grad_y.options());
  const uint8_t* const spikes = bits.const_data_ptr<uint8_t>();
  const float* const from = grad_y.const_data_ptr<float>();
  float* const to = sums.mutable_data_ptr<float>();
  at::parallel_for(0, plan.units(), 1, [&](int64_t first, int64_t last) {
    kernels::RunBinaryConvGradWeight(s, spikes, from, to, first, last);
  });
  return FoldGradWeight(state, plan, sums);
}

at::Tensor FoldGradWeight(const SpikeConvState& state, const kernels::GradWeightPlan& plan,
                          const at::Tensor& sums) {
  const BinaryConvShape& s = state.shape;
  at::Tensor out = at::empty({s.out, s.in, s.kernel, s.kernel}, sums.options());
  const float* const from = sums.const_data_ptr<float>();
  float* const to = out.mutable_data_ptr<float>();
  at::parallel_for(0, at::divup(s.out, kernels::kLanes), 1, [&](int64_t first, int64_t last) {
    kernels::FoldGradWeight(s, plan, from, to, first, last);
  });
  return out;
}

at::Tensor SpikeConv2d(const at::Tensor& spikes, const at::Tensor& weight,
                       const ConvOptions& options) {
  CheckSpikeConv("SpikeConv2d", spikes, weight, options);
  if (cuda::Serves(spikes) && options.powers_of_two) {
    return cuda::SpikeConv2d(spikes, weight, options);
  }
  if (!CanPackSpikes(spikes, weight)) return Conv2d(spikes, weight, options);
  return SpikeConvFunction::apply(spikes, weight, options);
}

}  // namespace bsnn::trainer
