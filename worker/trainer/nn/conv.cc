#include "worker/trainer/nn/conv.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/max_pool2d.h>

#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/kernels/pool.h"

namespace bsnn::trainer {
namespace {

kernels::PoolShape ShapeOf(const at::Tensor& x) { return {x.size(2), x.size(3), x.size(1)}; }

class MaxPoolFunction : public torch::autograd::Function<MaxPoolFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input) {
    const at::Tensor x = ChannelsLast(input);
    at::Tensor y = EmptyChannelsLast({x.size(0), x.size(1), x.size(2) / 2, x.size(3) / 2}, x);
    const float* const from = x.const_data_ptr<float>();
    float* const to = y.mutable_data_ptr<float>();
    ForPictures(x.size(0), x.numel() / std::max<int64_t>(1, x.size(0)),
                [&](int64_t first, int64_t last) {
                  kernels::RunMaxPool(ShapeOf(x), from, to, first, last);
                });
    ctx->save_for_backward({x});
    return y;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const at::Tensor x = ctx->get_saved_variables()[0];
    const at::Tensor grad_y = ChannelsLast(grads[0]);
    at::Tensor grad_x = EmptyChannelsLast(x.sizes(), x);
    const float* const from = x.const_data_ptr<float>();
    const float* const grad = grad_y.const_data_ptr<float>();
    float* const to = grad_x.mutable_data_ptr<float>();
    ForPictures(x.size(0), x.numel() / std::max<int64_t>(1, x.size(0)),
                [&](int64_t first, int64_t last) {
                  kernels::RunMaxPoolBackward(ShapeOf(x), from, grad, to, first, last);
                });
    return {grad_x};
  }
};

}  // namespace

at::Tensor Conv2d(const at::Tensor& x, const at::Tensor& weight, const ConvOptions& options) {
  at::Tensor input = ChannelsLast(x);
  if (input.size(1) == 1 && !input.requires_grad()) {
    // With one channel both formats are one; only these strides make ATen answer channels-last.
    const int64_t h = input.size(2), w = input.size(3);
    input = input.as_strided(input.sizes(), {h * w, 1, w, 1});
  }
  if (options.bf16 && !input.is_cpu()) {
    return at::conv2d(input.to(at::kBFloat16), weight.to(at::kBFloat16), /*bias=*/{},
                      options.stride, options.padding)
        .to(at::kFloat);
  }
  return at::conv2d(input, weight, /*bias=*/{}, options.stride, options.padding);
}

at::Tensor MaxPool2(const at::Tensor& x) {
  CheckActivations("MaxPool2", x);
  TORCH_CHECK(x.size(2) >= 2 && x.size(3) >= 2, "MaxPool2: x is ", x.sizes(),
              "; allowed: height and width of at least 2");
  if (!x.is_cpu()) return at::max_pool2d(x, 2);
  return MaxPoolFunction::apply(x);
}

}  // namespace bsnn::trainer
