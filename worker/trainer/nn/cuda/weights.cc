#include <ATen/ops/empty_like.h>

#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/cuda/passes.h"
#include "worker/trainer/nn/cuda/support.h"

namespace bsnn::trainer::cuda {
namespace {

BinarizeKind KindOf(spec::Binarization method) {
  switch (method) {
    case spec::Binarization::kSign:
      return BinarizeKind::kSign;
    case spec::Binarization::kMeanAbs:
      return BinarizeKind::kMeanAbs;
    case spec::Binarization::kStandardized:
      return BinarizeKind::kStandardized;
  }
  return BinarizeKind::kSign;
}

class BinarizeFunction : public torch::autograd::Function<BinarizeFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& latent,
                            const BinarizePass& numbers) {
    const at::OptionalDeviceGuard guard(at::device_of(latent));
    ctx->save_for_backward({latent});
    Keep(ctx, numbers);
    const at::Tensor out = at::empty_like(latent, latent.options(), at::MemoryFormat::Contiguous);
    BinarizePass pass = numbers;
    pass.latent = Read(latent);
    pass.out = Write(out);
    RunBinarize(pass, StreamOf(latent));
    return out;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const at::Tensor latent = ctx->get_saved_variables()[0];
    const at::OptionalDeviceGuard guard(at::device_of(latent));
    const at::Tensor grad = grads[0].contiguous();
    const at::Tensor out = at::empty_like(latent, latent.options(), at::MemoryFormat::Contiguous);
    BinarizePass pass = KeptBy<BinarizePass>(ctx);
    pass.latent = Read(latent);
    pass.grad_effective = Read(grad);
    pass.out = Write(out);
    RunBinarizeBackward(pass, StreamOf(latent));
    return {out, at::Tensor()};
  }
};

}  // namespace

at::Tensor Binarize(const at::Tensor& latent, spec::Binarization method, double sharpness) {
  return BinarizeFunction::apply(latent, BinarizePass{.kind = KindOf(method),
                                                      .channels = latent.size(0),
                                                      .fan_in = latent.numel() / latent.size(0),
                                                      .sharpness = static_cast<float>(sharpness)});
}

void PackSigns(const at::Tensor& latent, std::optional<spec::Binarization> method,
               const at::Tensor& signs, const at::Tensor& flipped, const at::Tensor& flips) {
  if (latent.numel() == 0) return;
  const at::OptionalDeviceGuard guard(at::device_of(latent));
  const at::Tensor weight = latent.detach().contiguous();
  const int64_t fan_in = latent.dim() == 4 ? latent.numel() / latent.size(0) : latent.numel();
  const at::Tensor center = Scratch({latent.numel() / fan_in}, at::kFloat, weight);
  const auto words = [](const at::Tensor& t) {
    return t.defined() ? reinterpret_cast<uint64_t*>(t.mutable_data_ptr<int64_t>()) : nullptr;
  };
  RunFlips({.kind = KindOf(method.value_or(spec::Binarization::kSign)),
            .count = latent.numel(),
            .fan_in = fan_in,
            .latent = Read(weight),
            .center = Write(center),
            .signs = words(signs),
            .flipped = words(flipped),
            .flips = flips.defined() ? flips.mutable_data_ptr<int64_t>() : nullptr},
           StreamOf(latent));
}

void AddMoments(const at::Tensor& values, const at::Tensor& sums) {
  const at::OptionalDeviceGuard guard(at::device_of(values));
  // Any dense order will do.
  const at::Tensor dense = values.is_non_overlapping_and_dense() ? values : values.contiguous();
  const at::Tensor partial = Scratch({2, kMomentBlocks}, at::kDouble, values);
  RunMoments({.values = Read(dense),
              .count = dense.numel(),
              .partial = WriteDoubles(partial),
              .sums = WriteDoubles(sums)},
             StreamOf(values));
}

}  // namespace bsnn::trainer::cuda
