#include "worker/trainer/model/network.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/fault.h"
#include "worker/trainer/dist/ranks.h"
#include "worker/trainer/model/layers.h"

namespace bsnn::trainer {
namespace {

constexpr int64_t kSideMax = 4096;

/// Every pooling halves the side, and what is left must be a pixel.
int64_t SideMinOf(spec::NetworkName name) {
  switch (name) {
    case spec::NetworkName::kConvnet:
      return 4;
    case spec::NetworkName::kVgg11:
      return 8;
    case spec::NetworkName::kVggsnn:
      return 16;
    default:
      return 1;
  }
}

std::unique_ptr<Network> MakeNamed(const spec::JobSpec& spec, const InputShape& shape) {
  switch (spec.network.name) {
    case spec::NetworkName::kConvnet:
      return MakeConvnet(spec, shape);
    case spec::NetworkName::kResnet18:
    case spec::NetworkName::kResnet19:
    case spec::NetworkName::kResnet20:
    case spec::NetworkName::kSewResnet18:
      return MakeResnet(spec, shape);
    case spec::NetworkName::kVgg11:
    case spec::NetworkName::kVggsnn:
      return MakeVgg(spec, shape);
    default:
      return MakeBireal(spec, shape);
  }
}

std::vector<base::FieldFault> FaultsOf(const spec::JobSpec& spec, const InputShape& shape) {
  std::vector<base::FieldFault> faults;
  const auto check = [&](const char* field, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return;
    faults.push_back({field, absl::StrCat(value), absl::StrCat(min, " to ", max)});
  };
  const int64_t side_min = SideMinOf(spec.network.name);
  check("input.channels", shape.channels, 1, 1024);
  check("input.height", shape.height, side_min, kSideMax);
  check("input.width", shape.width, side_min, kSideMax);
  check("input.classes", shape.classes, 2, 1'000'000);
  if (shape.frames != 1) {
    check("input.frames", shape.frames, spec.network.time_steps, spec.network.time_steps);
  }
  return faults;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> Network::Make(const spec::JobSpec& spec,
                                                       const InputShape& shape) {
  std::vector<base::FieldFault> faults = FaultsOf(spec, shape);
  spec::Validate(spec, "", faults);
  if (!faults.empty()) return base::InvalidFields(faults);
  std::unique_ptr<Network> network = MakeNamed(spec, shape);
  network->SetTrainingProgress(0, 1);
  return network;
}

void Network::SetTrainingProgress(int64_t step, int64_t total) {
  const double done =
      total > 0 ? std::min(1.0, static_cast<double>(step) / static_cast<double>(total)) : 0.0;
  const double start = std::log(spec_.binarization.sharpness_start);
  const double end = std::log(spec_.binarization.sharpness_end);
  sharpness_ = std::exp(start + done * (end - start));
}

void Network::To(at::Device device) {
  const auto move = [device](const at::Tensor& tensor) {
    if (tensor.defined()) tensor.set_data(tensor.detach().to(device));
  };
  for (const Parameter& parameter : parameters_) move(parameter.tensor);
  for (const NamedTensor& buffer : buffers_) move(buffer.tensor);
  for (const ActivityCounter& counter : activity_) {
    move(counter.spikes);
    move(counter.gate);
  }
}

int64_t Network::parameter_count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.tensor.numel();
  return count;
}

int64_t Network::binary_weight_count() const {
  int64_t count = 0;
  for (const WeightLayer& layer : weight_layers_) {
    if (layer.binarization) count += layer.weights();
  }
  return count;
}

namespace {

/// "conv2" of "conv2.weight".
std::string LayerOf(const Parameter& parameter) {
  return parameter.name.substr(0, parameter.name.rfind('.'));
}

}  // namespace

int64_t LayerDescription::packed_bytes() const {
  int64_t weights = 1;
  for (const int64_t size : weight_shape) weights *= size;
  if (binary) return (weights + 7) / 8;
  return int8 ? weights : 4 * weights;
}

int64_t Network::packed_bytes() const {
  int64_t bytes = 4 * (parameter_count() - binary_weight_count());
  for (const Parameter& parameter : parameters_) {
    if (RoundsToInt8(parameter)) bytes -= 3 * parameter.tensor.numel();
  }
  for (const WeightLayer& layer : weight_layers_) {
    if (layer.binarization) bytes += (layer.weights() + 7) / 8;
  }
  return bytes;
}

void Network::MeasureInput(const at::Tensor& weight, const at::Tensor& input) {
  if (!measure_inputs_) return;
  // Each picture's in float32, where counts of spikes are exact; in float64 over pictures.
  const bool gated = spec_.network.kind == spec::NetworkKind::kBsnnAgmm &&
                     spec_.agmm.place == spec::GatePlace::kOnSpikes;
  std::vector<int64_t> dims(static_cast<size_t>(input.dim()) - 1);
  std::iota(dims.begin(), dims.end(), 1);
  AddInput(weight, (gated ? input.ne(0) : input).sum(dims).sum(at::kDouble), input.numel());
}

void Network::AddInput(const at::Tensor& weight, const at::Tensor& sum, int64_t values) {
  for (const Parameter& p : parameters_) {
    if (!p.tensor.is_same(weight)) continue;
    InputSum& input = input_sums_[LayerOf(p)];
    input.sum = input.sum.defined() ? input.sum + sum : sum;
    input.values += values;
  }
}

void Network::Trace(const at::Tensor& weight, const at::Tensor& output, int64_t spikes_per_unit) {
  if (trace_ == nullptr) return;
  LayerDescription layer{.weight_shape = weight.sizes().vec(), .repetitions = output.size(0)};
  layer.output_shape.assign(output.sizes().begin() + 1, output.sizes().end());
  layer.operations = weight.numel();
  for (size_t i = 1; i < layer.output_shape.size(); ++i) layer.operations *= layer.output_shape[i];
  layer.spikes_per_unit = spikes_per_unit;
  for (const Parameter& p : parameters_) {
    if (!p.tensor.is_same(weight)) continue;
    layer.name = LayerOf(p);
    layer.binary = p.binary;
    layer.int8 = RoundsToInt8(p);
  }
  trace_->push_back(std::move(layer));
}

void Network::TraceGate(size_t weight_layer, const at::Tensor& values) {
  if (trace_ == nullptr) return;
  gated_values_[weight_layer] = values.numel() / spec_.network.time_steps;
}

std::vector<LayerDescription> Network::Describe() {
  std::vector<LayerDescription> layers;
  const bool was_training = training_, counted = count_activity_, measured = measure_inputs_;
  training_ = count_activity_ = measure_inputs_ = false;
  gated_values_.assign(weight_layers_.size(), 0);
  trace_ = &layers;
  {
    const at::NoGradGuard no_gradients;
    const at::Tensor picture =
        at::zeros({shape_.frames, shape_.channels, shape_.height, shape_.width});
    Forward(parameters_.empty() ? picture : picture.to(parameters_[0].tensor.device()));
  }
  trace_ = nullptr;
  for (size_t i = 0; i < weight_layers_.size(); ++i) {
    for (LayerDescription& layer : layers) {
      if (layer.name == weight_layers_[i].name) layer.gated_values = gated_values_[i];
    }
  }
  training_ = was_training;
  count_activity_ = counted;
  measure_inputs_ = measured;
  return layers;
}

void Network::MeasureInputs(bool measure) {
  measure_inputs_ = measure;
  if (measure) input_sums_.clear();
}

std::vector<double> Network::InputMeans(const std::vector<LayerDescription>& layers) const {
  std::vector<double> means;
  for (const LayerDescription& layer : layers) {
    const auto input = input_sums_.find(layer.name);
    means.push_back(input == input_sums_.end() ? std::numeric_limits<double>::quiet_NaN()
                                               : input->second.sum.item<double>() /
                                                     static_cast<double>(input->second.values));
  }
  return means;
}

void Network::SumInputsOver(Ranks& ranks) {
  for (auto& [layer, input] : input_sums_) {  // by name: in the same order everywhere
    const at::Tensor both =
        at::stack({input.sum.cpu(), at::scalar_tensor(input.values, at::kDouble)});
    ranks.Sum(both);
    input.sum = both[0].to(input.sum.device());
    input.values = static_cast<int64_t>(both[1].item<double>());
  }
}

NamedTensors Network::State() const {
  NamedTensors state;
  for (const Parameter& parameter : parameters_) {
    state.push_back({parameter.name, parameter.tensor.detach()});
  }
  state.insert(state.end(), buffers_.begin(), buffers_.end());
  return state;
}

std::vector<LayerGradient> Network::Gradients() const {
  std::vector<LayerGradient> gradients;
  for (size_t i = 0; i < weight_layers_.size(); ++i) {
    const WeightLayer& layer = weight_layers_[i];
    const at::Tensor latent = layer.latent.grad();
    const at::Tensor effective = effective_[i].defined() ? effective_[i].grad() : at::Tensor();
    TORCH_CHECK(latent.defined() && effective.defined(), "Gradients: layer '", layer.name,
                "' has none; call KeepGradients(true) before Forward, and this after backward");
    gradients.push_back({layer.name, effective, latent});
  }
  return gradients;
}

std::vector<LayerActivity> Network::Activity() const {
  std::vector<LayerActivity> out;
  const int64_t steps = spec_.network.time_steps;
  at::Tensor all_spikes = at::zeros({2, steps}, at::kLong), all_gates = at::zeros({2}, at::kDouble);
  const auto add = [&](const std::string& layer, const at::Tensor& spikes, const at::Tensor& gate) {
    LayerActivity activity{layer, {}, std::numeric_limits<double>::quiet_NaN(), {}};
    const int64_t* const counts = spikes.const_data_ptr<int64_t>();
    for (int64_t t = 0; t < steps && counts[steps + t] > 0; ++t) {
      activity.firing_rate.push_back(static_cast<double>(counts[t]) /
                                     static_cast<double>(counts[steps + t]));
    }
    const double* const sum = gate.const_data_ptr<double>();
    if (sum[1] > 0) activity.gate_mean = sum[0] / sum[1];
    out.push_back(std::move(activity));
  };
  for (const ActivityCounter& counter : activity_) {
    const at::Tensor spikes = counter.spikes.to(at::kCPU), gate = counter.gate.to(at::kCPU);
    all_spikes += spikes;
    all_gates += gate;
    add(counter.layer, spikes, gate);
    if (!counter.alpha.defined()) continue;
    const at::Tensor alpha = counter.alpha.detach().to(at::kCPU).view({steps, -1}).mean(1);
    const float* const a = alpha.const_data_ptr<float>();
    out.back().alpha.assign(a, a + alpha.numel());
  }
  if (!activity_.empty()) add("all", all_spikes, all_gates);
  return out;
}

void Network::ResetActivity() {
  for (const NamedTensor& state : ActivityState()) state.tensor.zero_();
}

NamedTensors Network::ActivityState() const {
  NamedTensors state;
  for (const ActivityCounter& counter : activity_) {
    state.push_back({counter.layer + ".spike_counts", counter.spikes});
    state.push_back({counter.layer + ".gate_sums", counter.gate});
  }
  return state;
}

}  // namespace bsnn::trainer
