/// What the fused operations share. Include only in sources of nn/cuda.
#pragma once

#include <ATen/DeviceGuard.h>
#include <ATen/ops/empty.h>

#include <initializer_list>

#include "worker/trainer/nn/function_support.h"

namespace bsnn::trainer::cuda {

/// The current stream of the tensor's device, as cudaStream_t; null in a build without CUDA.
void* StreamOf(const at::Tensor& tensor);

/// Channels-last, and aligned for accesses of four numbers.
inline at::Tensor Ready(const at::Tensor& tensor) {
  const at::Tensor out = ChannelsLast(tensor);
  constexpr uintptr_t kAlignment = 16;
  const bool aligned = reinterpret_cast<uintptr_t>(out.const_data_ptr()) % kAlignment == 0;
  return aligned ? out : out.clone();
}

inline const float* Read(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}
inline float* Write(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
}
inline double* WriteDoubles(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr<double>() : nullptr;
}

inline at::Tensor Scratch(std::initializer_list<int64_t> sizes, at::ScalarType type,
                          const at::Tensor& like) {
  return at::empty(at::IntArrayRef(sizes), like.options().dtype(type));
}

}  // namespace bsnn::trainer::cuda
