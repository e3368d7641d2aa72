#include "worker/trainer/checkpoint/pack.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "base/fault.h"
#include "base/status.h"
#include "worker/trainer/nn/binarize.h"

namespace bsnn::trainer {
namespace {

using artifact::PackedTensor;

template <class Number>
std::span<const Number> SpanOf(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<Number>(), static_cast<size_t>(tensor.numel())};
}

PackedTensor Pack(const NamedTensor& named, const PackRules& rules) {
  const at::Tensor value = named.tensor.detach().cpu().contiguous();
  std::vector<uint64_t> shape(value.sizes().begin(), value.sizes().end());
  if (rules.binary.contains(named.name)) {
    // Sharpness is of the gradient alone.
    const at::Tensor weight = Binarize(value, rules.binarization, 1.0);
    auto packed = artifact::PackSigns(named.name, std::move(shape), SpanOf<float>(weight));
    TORCH_CHECK(packed.ok(), "PackTensors: ", std::string(packed.status().message()));
    return *std::move(packed);
  }
  if (rules.int8.contains(named.name)) {
    const Int8Weight rounded = ToInt8(value);
    const at::Tensor codes = rounded.codes.nan_to_num().to(at::kChar);  // the scale keeps a NaN
    return artifact::PackInt8(named.name, std::move(shape), SpanOf<int8_t>(codes),
                              rounded.scale.item<float>());
  }
  return artifact::PackFloat(named.name, std::move(shape), SpanOf<float>(value));
}

}  // namespace

PackRules PackRulesOf(const Network& network, const spec::JobSpec& spec) {
  PackRules rules{network.shape(), {}, spec.binarization.method, {}};
  for (const Parameter& parameter : network.parameters()) {
    if (parameter.binary) rules.binary.insert(parameter.name);
    if (network.RoundsToInt8(parameter)) rules.int8.insert(parameter.name);
  }
  return rules;
}

std::vector<PackedTensor> PackTensors(const NamedTensors& state, const PackRules& rules) {
  const at::NoGradGuard no_gradients;
  std::vector<PackedTensor> tensors;
  for (const NamedTensor& named : state) tensors.push_back(Pack(named, rules));
  return tensors;
}

uint64_t TensorBytesOf(const std::vector<PackedTensor>& tensors) {
  uint64_t bytes = 0;
  for (const PackedTensor& tensor : tensors) bytes += tensor.size_bytes();
  return bytes;
}

artifact::PackedModel PackModel(const NamedTensors& state, const PackRules& rules,
                                const spec::JobSpec& spec, const CheckpointFacts& facts,
                                const std::string& source_sha256) {
  const InputShape& shape = rules.shape;
  return {PackTensors(state, rules),
          {{"network", std::string(spec::ToWord(spec.network.name))},
           {"kind", std::string(spec::ToWord(spec.network.kind))},
           {"binarization", std::string(spec::ToWord(spec.binarization.method))},
           {"time_steps", std::to_string(spec.network.time_steps)},
           {"data", std::string(spec::ToWord(spec.data.name))},
           {"input", fmt::format("{} {} {}", shape.channels, shape.height, shape.width)},
           {"classes", std::to_string(shape.classes)},
           {"step", std::to_string(facts.step)},
           {"epoch", std::to_string(facts.epoch)},
           {"accuracy_ratio", std::isnan(facts.accuracy_ratio)
                                  ? std::string("NaN")
                                  : fmt::format("{}", facts.accuracy_ratio)},
           {"spec", spec::CanonicalText(spec)},
           {kSourceKey, source_sha256}}};
}

absl::Status RestorePacked(const artifact::PackedFile& file, std::string_view path,
                           Network& network) {
  const NamedTensors state = network.State();
  std::map<std::string, int64_t> sizes;
  for (const NamedTensor& named : state) sizes[named.name] = named.tensor.numel();
  NamedTensors tensors;
  for (const artifact::PackedEntry& entry : file.entries()) {
    const auto found = sizes.find(entry.name);
    if (found == sizes.end() || static_cast<uint64_t>(found->second) != entry.numel()) {
      return absl::DataLossError(fmt::format(
          "{}: tensor '{}' of {} numbers is not of this network (allowed: {})", path,
          base::Shorten(entry.name, 128), entry.numel(),
          found == sizes.end() ? std::string("no such tensor") : std::to_string(found->second)));
    }
    const std::vector<int64_t> shape(entry.shape.begin(), entry.shape.end());
    at::Tensor tensor = at::empty(shape, at::kFloat);
    RETURN_IF_ERROR(
        file.Read(entry, {tensor.mutable_data_ptr<float>(), static_cast<size_t>(tensor.numel())}));
    tensors.push_back({entry.name, std::move(tensor)});
  }
  RETURN_IF_ERROR(RestoreState(state, tensors, path));
  network.TakeWeightsAsTheyAre();
  return absl::OkStatus();
}

}  // namespace bsnn::trainer
