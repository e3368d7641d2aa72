/// What our autograd functions share. Include only in sources: it brings torch's autograd headers.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace bsnn::trainer {

using TensorList = torch::autograd::variable_list;

/// Plain values that a forward pass keeps for its backward pass.
template <class T>
struct Kept : torch::CustomClassHolder {
  explicit Kept(T kept) : value(std::move(kept)) {}
  T value;
};

template <class T>
void Keep(torch::autograd::AutogradContext* ctx, T value) {
  ctx->saved_data["kept"] =
      c10::IValue::make_capsule(c10::make_intrusive<Kept<T>>(std::move(value)));
}

template <class T>
const T& KeptBy(torch::autograd::AutogradContext* ctx) {
  return static_cast<const Kept<T>&>(*ctx->saved_data["kept"].toCapsule()).value;
}

inline at::Tensor ChannelsLast(const at::Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

inline at::Tensor EmptyChannelsLast(at::IntArrayRef sizes, const at::Tensor& like) {
  return at::empty(sizes, like.options(), at::MemoryFormat::ChannelsLast);
}

/// Calls body(first, last) over the pictures [0, count), shared between ATen's threads. A share is
/// at least the work that is worth a thread.
template <class Body>
void ForPictures(int64_t count, int64_t numbers_each, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, numbers_each));
  at::parallel_for(0, count, grain, body);
}

inline void CheckActivations(const char* what, const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 4 && x.scalar_type() == at::kFloat, what, ": x is ", x.dim(), "-D ",
              x.scalar_type(), "; allowed: [N, C, H, W] float32");
}

}  // namespace bsnn::trainer
