#include <ATen/Context.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty_like.h>

#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/cuda/passes.h"
#include "worker/trainer/nn/cuda/support.h"

namespace bsnn::trainer::cuda {
namespace {

bool fused_operations = true;

/// While it lives, convolutions of this process may take float32 numbers as TF32. The thread that
/// trains waits while autograd's runs, so the setting has one user at a time.
class Tf32Products {
 public:
  Tf32Products() { at::globalContext().setAllowTF32CuDNN(true); }
  ~Tf32Products() { at::globalContext().setAllowTF32CuDNN(false); }
  Tf32Products(const Tf32Products&) = delete;
  Tf32Products& operator=(const Tf32Products&) = delete;
};

struct Gradients {
  at::Tensor spikes, weight;
};

Gradients Backward(const at::Tensor& grad, const at::Tensor& spikes, const at::Tensor& weight,
                   const ConvOptions& options, bool wants_spikes) {
  const Tf32Products products;
  const auto [grad_spikes, grad_weight, none] = at::convolution_backward(
      grad, spikes, weight, /*bias_sizes=*/std::nullopt, {options.stride, options.stride},
      {options.padding, options.padding}, /*dilation=*/{1, 1}, /*transposed=*/false,
      /*output_padding=*/{0, 0}, /*groups=*/1, {wants_spikes, true, false});
  return {grad_spikes, grad_weight};
}

class SpikeConvFunction : public torch::autograd::Function<SpikeConvFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const ConvOptions& options) {
    const at::Tensor spikes = ChannelsLast(input);
    ctx->save_for_backward({spikes, weight});
    Keep(ctx, options);
    const Tf32Products products;
    return at::conv2d(spikes, weight, /*bias=*/{}, options.stride, options.padding);
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const TensorList saved = ctx->get_saved_variables();
    const at::OptionalDeviceGuard guard(at::device_of(saved[0]));
    const ConvOptions& options = KeptBy<ConvOptions>(ctx);
    const bool wants_spikes = ctx->needs_input_grad(0);
    const at::Tensor grad = Ready(grads[0]);
    if (options.bf16) {
      const Gradients one = Backward(grad, saved[0], saved[1], options, wants_spikes);
      return {one.spikes, one.weight, at::Tensor()};
    }
    const at::Tensor high = at::empty_like(grad), low = at::empty_like(grad);
    RunSplit({.count = grad.numel(), .values = Read(grad), .high = Write(high), .low = Write(low)},
             StreamOf(grad));
    const Gradients first = Backward(high, saved[0], saved[1], options, wants_spikes);
    const Gradients second = Backward(low, saved[0], saved[1], options, wants_spikes);
    return {wants_spikes ? first.spikes.add_(second.spikes) : at::Tensor(),
            first.weight.add_(second.weight), at::Tensor()};
  }
};

}  // namespace

void SetUp(bool fused) {
  fused_operations = fused;
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setAllowTF32CuDNN(false);
}

bool Serves(const at::Tensor& tensor) { return tensor.is_cuda() && fused_operations; }

at::Tensor SpikeConv2d(const at::Tensor& spikes, const at::Tensor& weight,
                       const ConvOptions& options) {
  return SpikeConvFunction::apply(spikes, weight, options);
}

}  // namespace bsnn::trainer::cuda
