#include "worker/trainer/model/network.h"

#include <absl/strings/str_cat.h>

#include <cmath>
#include <limits>

#include "base/fault.h"
#include "worker/trainer/model/layers.h"

namespace bsnn::trainer {
namespace {

constexpr int64_t kSideMax = 4096;

std::vector<base::FieldFault> FaultsOf(const spec::JobSpec& spec, const InputShape& shape) {
  std::vector<base::FieldFault> faults;
  const auto check = [&](const char* field, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return;
    faults.push_back({field, absl::StrCat(value), absl::StrCat(min, " to ", max)});
  };
  const int64_t side_min = spec.network.name == spec::NetworkName::kConvnet ? 4 : 1;
  check("input.channels", shape.channels, 1, 1024);
  check("input.height", shape.height, side_min, kSideMax);
  check("input.width", shape.width, side_min, kSideMax);
  check("input.classes", shape.classes, 2, 1'000'000);
  return faults;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> Network::Make(const spec::JobSpec& spec,
                                                       const InputShape& shape) {
  std::vector<base::FieldFault> faults = FaultsOf(spec, shape);
  spec::Validate(spec, "", faults);
  if (!faults.empty()) return base::InvalidFields(faults);
  std::unique_ptr<Network> network = spec.network.name == spec::NetworkName::kConvnet
                                         ? MakeConvnet(spec, shape)
                                         : MakeBireal(spec, shape);
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
  for (const ActivityCounter& counter : activity_) {
    LayerActivity activity{counter.layer, {}, std::numeric_limits<double>::quiet_NaN(), {}};
    const at::Tensor spikes = counter.spikes.to(at::kCPU), gate = counter.gate.to(at::kCPU);
    const int64_t steps = spikes.size(1);
    const int64_t* const counts = spikes.const_data_ptr<int64_t>();
    for (int64_t t = 0; t < steps && counts[steps + t] > 0; ++t) {
      activity.firing_rate.push_back(static_cast<double>(counts[t]) /
                                     static_cast<double>(counts[steps + t]));
    }
    const double* const sum = gate.const_data_ptr<double>();
    if (counter.alpha.defined()) {
      if (sum[1] > 0) activity.gate_mean = sum[0] / sum[1];
      const at::Tensor alpha = counter.alpha.detach().to(at::kCPU).view({steps, -1}).mean(1);
      const float* const a = alpha.const_data_ptr<float>();
      activity.alpha.assign(a, a + alpha.numel());
    }
    out.push_back(std::move(activity));
  }
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
