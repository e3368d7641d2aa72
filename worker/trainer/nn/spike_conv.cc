#include "worker/trainer/nn/spike_conv.h"

#include <memory>

#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/lif_pass.h"

namespace bsnn::trainer {
namespace {

using kernels::BinaryConvShape;
using kernels::BinaryWeights;

BinaryConvShape ShapeOf(const at::Tensor& x, const at::Tensor& weight, const ConvOptions& options) {
  return {.pictures = x.size(0),
          .height = x.size(2),
          .width = x.size(3),
          .in = x.size(1),
          .out = weight.size(0),
          .kernel = weight.size(2),
          .stride = options.stride,
          .padding = options.padding,
          .bf16 = options.bf16};
}

int64_t Blocks(int64_t count, int64_t size) { return (count + size - 1) / size; }

/// What the backward pass needs besides the spikes' bits.
struct Saved {
  BinaryConvShape shape;
  std::shared_ptr<const BinaryWeights> weights;
};

at::Tensor GradInput(const Saved& saved, const at::Tensor& grad_y) {
  const BinaryConvShape& s = saved.shape;
  at::Tensor grad_x = EmptyChannelsLast({s.pictures, s.in, s.height, s.width}, grad_y);
  const float* const from = grad_y.const_data_ptr<float>();
  float* const to = grad_x.mutable_data_ptr<float>();
  at::parallel_for(0, kernels::GradInputUnits(s), 1, [&](int64_t first, int64_t last) {
    kernels::RunBinaryConvGradInput(s, *saved.weights, from, to, first, last);
  });
  return grad_x;
}

at::Tensor GradWeight(const Saved& saved, const at::Tensor& bits, const at::Tensor& grad_y) {
  const BinaryConvShape& s = saved.shape;
  const kernels::GradWeightPlan plan = kernels::PlanGradWeight(s);
  at::Tensor sums = at::empty({plan.shares * plan.share_size}, grad_y.options());
  at::Tensor out = at::empty({s.out, s.in, s.kernel, s.kernel}, grad_y.options());
  const uint8_t* const spikes = bits.const_data_ptr<uint8_t>();
  const float* const from = grad_y.const_data_ptr<float>();
  float* const summed = sums.mutable_data_ptr<float>();
  float* const to = out.mutable_data_ptr<float>();
  at::parallel_for(0, plan.units(), 1, [&](int64_t first, int64_t last) {
    kernels::RunBinaryConvGradWeight(s, spikes, from, summed, first, last);
  });
  at::parallel_for(0, Blocks(s.out, kernels::kLanes), 1, [&](int64_t first, int64_t last) {
    kernels::FoldGradWeight(s, summed, to, first, last);
  });
  return out;
}

std::shared_ptr<const BinaryWeights> Pack(const BinaryConvShape& s, const at::Tensor& weight) {
  auto out = std::make_shared<BinaryWeights>(s);
  const float* const from = weight.const_data_ptr<float>();
  at::parallel_for(0, Blocks(s.out, kernels::kOutputBlock), 1, [&](int64_t first, int64_t last) {
    kernels::PackBinaryWeights(s, from, *out, first, last);
  });
  return out;
}

at::Tensor Run(const Saved& saved, const at::Tensor& bits, const at::Tensor& like) {
  const BinaryConvShape& s = saved.shape;
  at::Tensor y = EmptyChannelsLast({s.pictures, s.out, s.out_height(), s.out_width()}, like);
  const uint8_t* const spikes = bits.const_data_ptr<uint8_t>();
  float* const to = y.mutable_data_ptr<float>();
  ForPictures(s.pictures, s.height * s.width * s.in, [&](int64_t first, int64_t last) {
    kernels::RunBinaryConv(s, *saved.weights, spikes, to, first, last);
  });
  return y;
}

class SpikeConvFunction : public torch::autograd::Function<SpikeConvFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const ConvOptions& options) {
    const at::Tensor spikes = ChannelsLast(input);
    const BinaryConvShape s = ShapeOf(spikes, weight, options);
    const Saved saved{s, Pack(s, weight)};
    at::Tensor bits = at::empty({s.bit_bytes()}, spikes.options().dtype(at::kByte));
    const float* const x = spikes.const_data_ptr<float>();
    uint8_t* const to = bits.mutable_data_ptr<uint8_t>();
    ForPictures(s.pictures, s.height * s.width * s.in,
                [&](int64_t first, int64_t last) { kernels::PackSpikes(s, x, to, first, last); });
    ctx->save_for_backward({bits});
    Keep(ctx, saved);
    return Run(saved, bits, spikes);
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const Saved& saved = KeptBy<Saved>(ctx);
    const at::Tensor grad_y = ChannelsLast(grads[0]);
    return {ctx->needs_input_grad(0) ? GradInput(saved, grad_y) : at::Tensor(),
            ctx->needs_input_grad(1) ? GradWeight(saved, ctx->get_saved_variables()[0], grad_y)
                                     : at::Tensor(),
            at::Tensor()};
  }
};

class FireConvFunction : public torch::autograd::Function<FireConvFunction> {
 public:
  struct Both {
    Saved conv;
    LifOptions lif;
  };

  static TensorList forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const LifOptions& lif,
                            const ConvOptions& options, const at::Tensor* spike_count, bool keep) {
    const at::Tensor x = ChannelsLast(input);
    const BinaryConvShape s = ShapeOf(x, weight, options);
    const Saved saved{s, Pack(s, weight)};
    at::Tensor bits = at::empty({s.bit_bytes()}, x.options().dtype(at::kByte));
    RunLifPass(
        x, lif, {}, /*keep=*/false, *spike_count,
        {bits.mutable_data_ptr<uint8_t>(), s.width, s.padding, s.bit_row(), s.bit_picture()});
    if (keep) {
      ctx->save_for_backward({bits, x});
      Keep(ctx, Both{saved, lif});
    }
    return {Run(saved, bits, x), input};
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const auto& [conv, lif] = KeptBy<Both>(ctx);
    const TensorList tensors = ctx->get_saved_variables();
    TensorList out(6);
    if (!grads[0].defined()) return out[0] = grads[1], out;
    const at::Tensor grad_y = ChannelsLast(grads[0]);
    if (ctx->needs_input_grad(0)) {
      out[0] =
          RunLifBackwardPass(GradInput(conv, grad_y), {.drive = tensors[1]}, lif, {}, grads[1]);
    }
    if (ctx->needs_input_grad(1)) out[1] = GradWeight(conv, tensors[0], grad_y);
    return out;
  }
};

void Check(const char* what, const at::Tensor& x, const at::Tensor& weight,
           const ConvOptions& options) {
  CheckActivations(what, x);
  TORCH_CHECK(weight.dim() == 4 && weight.scalar_type() == at::kFloat && weight.is_contiguous() &&
                  weight.size(1) == x.size(1) && weight.size(2) == weight.size(3),
              what, ": weight is ", weight.sizes(), " ", weight.scalar_type(), "; allowed: [O, ",
              x.size(1), ", k, k] float32, contiguous");
  const BinaryConvShape s = ShapeOf(x, weight, options);
  TORCH_CHECK(options.stride >= 1 && options.padding >= 0 && s.pictures >= 1 &&
                  s.height + 2 * s.padding >= s.kernel && s.width + 2 * s.padding >= s.kernel,
              what, ": the input is ", x.sizes(), ", kernel ", s.kernel, ", stride ", s.stride,
              ", padding ", s.padding, "; allowed: at least one output pixel");
}

bool CanPack(const at::Tensor& x) { return x.is_cpu() && x.size(1) % 8 == 0; }

}  // namespace

at::Tensor SpikeConv2d(const at::Tensor& spikes, const at::Tensor& weight,
                       const ConvOptions& options) {
  Check("SpikeConv2d", spikes, weight, options);
  if (cuda::Serves(spikes) && options.powers_of_two) {
    return cuda::SpikeConv2d(spikes, weight, options);
  }
  if (!CanPack(spikes)) return Conv2d(spikes, weight, options);
  return SpikeConvFunction::apply(spikes, weight, options);
}

FiredConv FireConv2d(const at::Tensor& x, const at::Tensor& weight, const LifOptions& lif,
                     const ConvOptions& options, const at::Tensor& spike_count) {
  Check("FireConv2d", x, weight, options);
  TORCH_CHECK(!lif.pool && !lif.same_input && lif.steps >= 1 && x.size(0) % lif.steps == 0,
              "FireConv2d: first size is ", x.size(0), "; allowed: a multiple of T = ", lif.steps,
              ", without pooling and same_input");
  if (!CanPack(x)) return {SpikeConv2d(Lif(x, lif, spike_count), weight, options), x};
  const bool keep = at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  const TensorList out = FireConvFunction::apply(x, weight, lif, options, &spike_count, keep);
  return {out[0], out[1]};
}

}  // namespace bsnn::trainer
