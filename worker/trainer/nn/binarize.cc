#include "worker/trainer/nn/binarize.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <numeric>

#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/kernels/binarize.h"
#include "worker/trainer/nn/weight_layer.h"

namespace bsnn::trainer {
namespace {

using kernels::BinarizeShape;
using spec::Binarization;

template <class Body>
void ForChannels(const at::Tensor& latent, const BinarizeShape& shape, const Body& body) {
  at::parallel_for(0, latent.size(0), std::max<int64_t>(1, 8192 / shape.fan_in), body);
}

/// For other devices: the same arithmetic in ATen. std::nullopt-free view of one layer's
/// statistics.
struct Plain {
  at::Tensor z;      ///< what the sign is taken of
  at::Tensor std;    ///< [O, 1, 1, 1], standardized only
  at::Tensor scale;  ///< [O, 1, 1, 1]
};

Plain PlainStatistics(const at::Tensor& w, Binarization method) {
  const std::vector<int64_t> axes = {1, 2, 3};
  if (method != Binarization::kStandardized) {
    at::Tensor scale = w.abs().mean(axes, true);
    if (method == Binarization::kSign) scale = at::empty_like(scale).fill_(1);
    return {w, {}, scale};
  }
  const at::Tensor centered = w - w.mean(axes, true);
  const double degrees = static_cast<double>(w.numel() / w.size(0) - 1);
  const at::Tensor std = centered.square().sum(axes, true).div(degrees).sqrt();
  const at::Tensor z = centered / std;
  return {z, std, z.abs().mean(axes, true).log2().round().exp2()};
}

at::Tensor PlainBackward(const at::Tensor& w, const at::Tensor& grad, const BinarizeShape& shape) {
  const std::vector<int64_t> axes = {1, 2, 3};
  const Plain p = PlainStatistics(w, shape.method);
  if (shape.method != Binarization::kStandardized) return grad * p.scale * w.abs().le(1);
  const double t = shape.sharpness, gain = std::max(1 / t, 1.0) * t;
  const at::Tensor gz = grad * p.scale * (1 - (p.z * t).tanh().square()) * gain;
  const double degrees = static_cast<double>(shape.fan_in - 1);
  return (gz - gz.mean(axes, true) - p.z * (gz * p.z).sum(axes, true) / degrees) / p.std;
}

class BinarizeFunction : public torch::autograd::Function<BinarizeFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& latent,
                            const BinarizeShape& shape) {
    ctx->save_for_backward({latent});
    Keep(ctx, shape);
    if (!latent.is_cpu()) {
      const Plain p = PlainStatistics(latent, shape.method);
      return at::where(p.z.ge(0), p.scale, -p.scale);
    }
    at::Tensor out = at::empty_like(latent, latent.options(), at::MemoryFormat::Contiguous);
    const float* const w = latent.const_data_ptr<float>();
    float* const effective = out.mutable_data_ptr<float>();
    ForChannels(latent, shape, [&](int64_t first, int64_t last) {
      kernels::RunBinarize(shape, w, effective, first, last);
    });
    return out;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const at::Tensor latent = ctx->get_saved_variables()[0];
    const BinarizeShape& shape = KeptBy<BinarizeShape>(ctx);
    if (!latent.is_cpu()) return {PlainBackward(latent, grads[0], shape), at::Tensor()};
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor out = at::empty_like(latent, latent.options(), at::MemoryFormat::Contiguous);
    const float* const w = latent.const_data_ptr<float>();
    const float* const g = grad.const_data_ptr<float>();
    float* const grad_latent = out.mutable_data_ptr<float>();
    ForChannels(latent, shape, [&](int64_t first, int64_t last) {
      kernels::RunBinarizeBackward(shape, w, g, grad_latent, first, last);
    });
    return {out, at::Tensor()};
  }
};

}  // namespace

Int8Weight ToInt8(const at::Tensor& weight) {
  const at::Tensor w = weight.detach();
  const at::Tensor scale = w.abs().max().clamp_min(1e-30).div(127);
  return {w.div(scale).round().add(0.0), scale};  // -0 + 0 is 0
}

namespace {

class Int8Function : public torch::autograd::Function<Int8Function> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& weight) {
    const Int8Weight rounded = ToInt8(weight);
    return rounded.codes.mul(rounded.scale);
  }
  static TensorList backward(torch::autograd::AutogradContext*, TensorList grads) { return grads; }
};

}  // namespace

at::Tensor RoundToInt8(const at::Tensor& weight) { return Int8Function::apply(weight); }

at::Tensor Binarize(const at::Tensor& latent, Binarization method, double sharpness) {
  TORCH_CHECK(latent.dim() == 4 && latent.scalar_type() == at::kFloat && latent.is_contiguous(),
              "Binarize: latent is ", latent.sizes(), " ", latent.scalar_type(),
              "; allowed: [O, I, k, k] float32, contiguous");
  const int64_t fan_in = latent.size(1) * latent.size(2) * latent.size(3);
  TORCH_CHECK(fan_in >= 2, "Binarize: ", fan_in, " weights a channel; allowed: at least 2");
  TORCH_CHECK(sharpness > 0, "Binarize: sharpness is ", sharpness, "; allowed: above 0");
  if (cuda::Serves(latent)) return cuda::Binarize(latent, method, sharpness);
  return BinarizeFunction::apply(latent,
                                 BinarizeShape{method, fan_in, static_cast<float>(sharpness)});
}

void PackSigns(const WeightLayer& layer, std::span<uint64_t> words) {
  TORCH_CHECK(static_cast<int64_t>(words.size()) == layer.words(), "PackSigns: ", words.size(),
              " words; allowed: ", layer.words());
  if (words.empty()) return;
  const at::Tensor latent = layer.latent.detach().to(at::kCPU).contiguous();
  const int64_t fan_in = latent.dim() == 4 ? latent.numel() / latent.size(0) : latent.numel();
  const BinarizeShape shape{layer.binarization.value_or(Binarization::kSign), fan_in, 1.0f};
  const float* const from = latent.const_data_ptr<float>();
  // Channels that fill whole words, so that no word is shared between threads.
  const int64_t group = fan_in * (64 / std::gcd(fan_in, int64_t{64}));
  const int64_t grain = std::max<int64_t>(1, 32768 / group);
  at::parallel_for(0, at::divup(latent.numel(), group), grain, [&](int64_t first, int64_t last) {
    const int64_t begin = first * group, end = std::min(last * group, latent.numel());
    kernels::PackSignBits(shape, from + begin, end - begin, words.data() + begin / 64);
  });
}

}  // namespace bsnn::trainer
