/// The loader's batches as the network takes them.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include "worker/trainer/data/loader.h"

namespace bsnn::trainer {

struct BatchTensors {
  at::Tensor images;  ///< [N, C, H, W], or [N, T, C, H, W] of recordings; float32
  at::Tensor labels;  ///< [N] int64
};

/// Queued, where the device has a queue: through pinned memory, so that nothing waits.
inline at::Tensor ToDevice(const at::Tensor& tensor, at::Device device) {
  if (device.is_cpu()) return tensor;
  return tensor.pin_memory().to(device, tensor.scalar_type(), /*non_blocking=*/true);
}

/// On `device`; on the CPU they are the memory of `batch`, which outlives them and their graph.
inline BatchTensors ToTensors(Batch& batch, const InputShape& shape, at::Device device) {
  const int64_t size = batch.size();
  std::vector<int64_t> sizes = {size, shape.channels, shape.height, shape.width};
  if (shape.frames > 1) sizes.insert(sizes.begin() + 1, shape.frames);
  const at::Tensor images = at::from_blob(batch.images.get(), sizes, at::kFloat);
  const at::Tensor labels = at::from_blob(batch.labels.data(), {size}, at::kLong);
  return {ToDevice(images, device), ToDevice(labels, device)};
}

/// As Network::Forward takes them: [N, T, C, H, W] as [T*N, C, H, W]; pictures as they are.
inline at::Tensor TimeOutermost(const at::Tensor& images) {
  return images.dim() == 5 ? images.transpose(0, 1).flatten(0, 1) : images;
}

}  // namespace bsnn::trainer
