/// Tensors with names: how state reaches checkpoints and comes back.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/status.h>

#include <string>
#include <string_view>
#include <vector>

namespace bsnn::trainer {

/// `tensor` shares its memory with the object that gave it: reading it reads live state.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};
using NamedTensors = std::vector<NamedTensor>;

/// Copies `source` into the tensors of `target` (an object's State()), matched by name, on any
/// device. All or nothing: first every name, shape and dtype is checked. `what` begins the message.
/// DataLoss where a name is missing, unknown or twice, or a shape or dtype differs.
absl::Status RestoreState(const NamedTensors& target, const NamedTensors& source,
                          std::string_view what);

}  // namespace bsnn::trainer
