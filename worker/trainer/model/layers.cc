#include "worker/trainer/model/layers.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "worker/trainer/nn/binarize.h"
#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/spike_conv.h"

namespace bsnn::trainer {

LayeredNetwork::LayeredNetwork(const spec::JobSpec& spec, const InputShape& shape)
    : Network(spec, shape) {}

at::Tensor LayeredNetwork::AddParameter(const std::string& name, at::Tensor value, bool decay) {
  value.requires_grad_(true);
  parameters_.push_back({name, value, decay});
  return value;
}

at::Tensor LayeredNetwork::AddBuffer(const std::string& name, at::Tensor value) {
  buffers_.push_back({name, value});
  return value;
}

at::Tensor LayeredNetwork::Normal(at::IntArrayRef sizes, double deviation) {
  at::Tensor out = at::zeros(sizes, at::kFloat);
  Random random(static_cast<uint64_t>(spec_.training.seed), next_stream_++);
  random.FillNormal({out.mutable_data_ptr<float>(), static_cast<size_t>(out.numel())}, deviation);
  return out;
}

BatchNorm LayeredNetwork::MakeNorm(const std::string& name, int64_t channels) {
  return {AddParameter(name + ".bn.weight", at::ones({channels}, at::kFloat), false),
          AddParameter(name + ".bn.bias", at::zeros({channels}, at::kFloat), false),
          AddBuffer(name + ".bn.running_mean", at::zeros({channels}, at::kFloat)),
          AddBuffer(name + ".bn.running_var", at::ones({channels}, at::kFloat))};
}

std::optional<Gate> LayeredNetwork::MakeGate(const std::string& name, int64_t channels) {
  if (spec_.network.kind != spec::NetworkKind::kBsnnAgmm) return std::nullopt;
  Gate gate{spec_.agmm, {}, {}};
  std::vector<int64_t> sizes = {steps()};
  if (spec_.agmm.alpha_mode == spec::AlphaMode::kLearnTc) sizes.push_back(channels);
  const at::Tensor alpha = at::full(sizes, spec_.agmm.alpha_init, at::kFloat);
  const std::string alpha_name = name + ".gate.alpha";
  gate.alpha = spec_.agmm.alpha_mode == spec::AlphaMode::kFixed
                   ? AddBuffer(alpha_name, alpha)
                   : AddParameter(alpha_name, alpha, false);
  if (spec_.agmm.reduce == spec::AgmmReduce::kStep) {
    gate.running_energy =
        AddBuffer(name + ".gate.running_energy", at::zeros({steps()}, at::kFloat));
  }
  return gate;
}

namespace {

/// science.md §1.5: N(0, 2 / (k k C_out)).
double ConvDeviation(const ConvSize& size) {
  return std::sqrt(2.0 / static_cast<double>(size.kernel * size.kernel * size.out));
}

}  // namespace

PlainConv LayeredNetwork::MakePlainConv(const std::string& name, const ConvSize& size) {
  const bool first = parameters_.empty();  // every network makes its first layer first
  const at::Tensor weight = AddParameter(
      name + ".weight", Normal({size.out, size.in, size.kernel, size.kernel}, ConvDeviation(size)),
      true);
  parameters_.back().end = first;
  return {weight, MakeNorm(name, size.out)};
}

HiddenConv LayeredNetwork::MakeHiddenConv(const std::string& name, const ConvSize& size,
                                          int64_t spike_channels) {
  const at::Tensor weight = AddParameter(
      name + ".weight", Normal({size.out, size.in, size.kernel, size.kernel}, ConvDeviation(size)),
      true);
  const bool binary = spec_.network.kind != spec::NetworkKind::kSnn;
  parameters_.back().binary = binary;
  weight_layers_.push_back(
      {name, weight, binary ? std::optional(spec_.binarization.method) : std::nullopt});
  effective_.emplace_back();
  HiddenConv layer{weight_layers_.size() - 1, MakeNorm(name, size.out), std::nullopt};
  const bool on_spikes = spec_.agmm.place == spec::GatePlace::kOnSpikes;
  layer.gate = MakeGate(name, on_spikes ? spike_channels : size.out);
  layer.sees_spikes = !(on_spikes && layer.gate);
  return layer;
}

Linear LayeredNetwork::MakeLinear(int64_t features, int64_t classes, double deviation) {
  const at::Tensor weight = AddParameter("fc.weight", Normal({classes, features}, deviation), true);
  parameters_.back().end = true;
  return {weight, AddParameter("fc.bias", at::zeros({classes}, at::kFloat), false)};
}

size_t LayeredNetwork::MakeCounter(const std::string& layer, const std::optional<Gate>& gate) {
  ActivityCounter counter{layer, at::zeros({2, steps()}, at::kLong), at::zeros({2}, at::kDouble),
                          gate ? gate->alpha : at::Tensor()};
  activity_.push_back(std::move(counter));
  return activity_.size() - 1;
}

NormCall LayeredNetwork::Call(std::optional<size_t> counter) const {
  NormCall call;
  call.steps = steps();
  call.training = training_;
  call.ranks = training_ ? statistics_ranks_ : nullptr;
  if (counter && count_activity_) {
    call.spike_count = activity_[*counter].spikes;
    call.gate_sum = activity_[*counter].gate;
  }
  return call;
}

at::Tensor LayeredNetwork::EffectiveWeight(size_t index) {
  const WeightLayer& layer = weight_layers_[index];
  if (!layer.binarization || deployed_) return effective_[index] = layer.latent;
  at::Tensor weight = Binarize(layer.latent, *layer.binarization, sharpness_);
  if (keep_gradients_ && weight.requires_grad()) {
    weight.retain_grad();
    effective_[index] = weight;
  }
  return weight;
}

at::Tensor LayeredNetwork::EndWeight(const at::Tensor& weight) const {
  return spec_.network.ends == spec::Ends::kInt8 && !deployed_ ? RoundToInt8(weight) : weight;
}

ConvOptions LayeredNetwork::Options(const at::Tensor& weight, int64_t stride) const {
  return {.stride = stride,
          .padding = weight.size(2) / 2,
          .bf16 = spec_.training.precision == spec::Precision::kBf16};
}

at::Tensor LayeredNetwork::RunStem(const at::Tensor& images, const at::Tensor& weight,
                                   int64_t stride) {
  const at::Tensor rounded = EndWeight(weight);
  at::Tensor y = Conv2d(images, rounded, Options(weight, stride));
  Trace(weight, y, 0);
  return y;
}

at::Tensor LayeredNetwork::NoteSpikes(at::Tensor spikes) {
  if (notes_spikes()) firing_rates_.push_back(spikes.mean());
  return spikes;
}

at::Tensor LayeredNetwork::RunConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  at::Tensor y = Conv2d(x, weight, Options(weight, stride));
  Trace(weight, y, 0);
  return y;
}

ConvOptions LayeredNetwork::HiddenOptions(const HiddenConv& layer, int64_t stride) const {
  const WeightLayer& weights = weight_layers_[layer.index];
  ConvOptions options = Options(weights.latent, stride);
  options.powers_of_two =
      weights.binarization && *weights.binarization != spec::Binarization::kMeanAbs;
  options.unit = ProductUnitFor(spec_.training.products);
  return options;
}

at::Tensor LayeredNetwork::RunHidden(const HiddenConv& layer, const at::Tensor& spikes,
                                     int64_t stride, NormCall call, int64_t spikes_per_unit) {
  const at::Tensor weight = EffectiveWeight(layer.index);
  const ConvOptions options = HiddenOptions(layer, stride);
  const bool bits = weight_layers_[layer.index].binarization && layer.sees_spikes;
  const at::Tensor y =
      bits ? SpikeConv2d(spikes, weight, options) : Conv2d(spikes, weight, options);
  MeasureInput(weight_layers_[layer.index].latent, spikes);
  return NormHidden(layer, y, std::move(call), spikes_per_unit);
}

at::Tensor LayeredNetwork::NormHidden(const HiddenConv& layer, const at::Tensor& y, NormCall call,
                                      int64_t spikes_per_unit) {
  Trace(weight_layers_[layer.index].latent, y, spikes_per_unit);
  if (layer.gate && layer.gate->spec.place != spec::GatePlace::kOnSpikes) TraceGate(layer.index, y);
  at::Tensor x = y;
  if (layer.gate && layer.gate->spec.place == spec::GatePlace::kBeforeBn) {
    x = Agmm(x, *layer.gate, {call.steps, call.training, call.gate_sum});
  }
  if (layer.gate && layer.gate->spec.place == spec::GatePlace::kAfterBn) call.gate = &*layer.gate;
  return NormGateFire(x, layer.norm, call);
}

FiredNorm LayeredNetwork::FireHidden(const HiddenConv& layer, const at::Tensor& x, int64_t stride,
                                     const NormCall& call, bool same_input) {
  const LifOptions lif{spec_.neuron, steps(), same_input};
  const bool gated = layer.gate.has_value();
  const bool before = gated && layer.gate->spec.place == spec::GatePlace::kBeforeBn;
  NormCall whole = call;
  if (!weight_layers_[layer.index].binarization || !layer.sees_spikes || notes_spikes() || before) {
    const at::Tensor spikes = NoteSpikes(Lif(x, lif, call.spike_count));
    if (call.residual.defined()) whole.residual = AtEachStep(x, lif);
    return {RunHidden(layer, GateSpikes(layer, spikes, call), stride, whole),
            call.residual.defined() ? at::Tensor() : ShortcutPool(x)};
  }
  const at::Tensor& latent = weight_layers_[layer.index].latent;
  const at::Tensor weight = EffectiveWeight(layer.index);
  if (gated) whole.gate = &*layer.gate;
  if (measure_inputs_) whole.spike_count = at::zeros({2, steps()}, x.options().dtype(at::kLong));
  FiredNorm fired = FireConvNorm(x, weight, lif, HiddenOptions(layer, stride), layer.norm, whole);
  if (measure_inputs_) {
    if (call.spike_count.defined()) call.spike_count.add_(whole.spike_count);
    AddInput(latent, whole.spike_count[0].sum().to(at::kDouble),
             x.numel() * (same_input ? steps() : 1));
  }
  Trace(latent, fired.y, 1);
  if (gated) TraceGate(layer.index, fired.y);
  return fired;
}

at::Tensor LayeredNetwork::GateSpikes(const HiddenConv& layer, const at::Tensor& spikes,
                                      const NormCall& call) {
  if (!layer.gate || layer.gate->spec.place != spec::GatePlace::kOnSpikes) return spikes;
  TraceGate(layer.index, spikes);
  return Agmm(spikes, *layer.gate, {call.steps, call.training, call.gate_sum});
}

at::Tensor LayeredNetwork::PixelMean(const at::Tensor& x) {
  return x.permute({0, 2, 3, 1}).flatten(1, 2).mean(1);
}

at::Tensor LayeredNetwork::Classify(const Linear& head, const at::Tensor& features,
                                    int64_t spikes_per_unit) {
  const at::Tensor logits = at::linear(features, EndWeight(head.weight), head.bias);
  Trace(head.weight, logits, spikes_per_unit);
  if (spikes_per_unit > 0) MeasureInput(head.weight, features);
  return logits.view({steps(), features.size(0) / steps(), head.weight.size(0)});
}

NirWire LayeredNetwork::ExpressStem(NirBuilder& nir, const std::string& name, const PlainConv& stem,
                                    int64_t stride) const {
  return nir.Conv(name, nir.Input(shape_), EndWeight(stem.weight), stem.norm, stride);
}

NirWire LayeredNetwork::ExpressHidden(NirBuilder& nir, const HiddenConv& layer, const NirWire& x,
                                      int64_t stride) {
  return nir.Conv(weight_layers_[layer.index].name, x, EffectiveWeight(layer.index), layer.norm,
                  stride);
}

void LayeredNetwork::ExpressClassifier(NirBuilder& nir, const Linear& head,
                                       const NirWire& x) const {
  nir.Classify(x, EndWeight(head.weight), head.bias);
}

void LayeredNetwork::Begin(const at::Tensor& images) {
  firing_rates_.clear();
  TORCH_CHECK(images.dim() == 4 && images.scalar_type() == at::kFloat &&
                  images.size(0) % shape_.frames == 0 && images.size(1) == shape_.channels &&
                  images.size(2) == shape_.height && images.size(3) == shape_.width,
              "Forward: images are ", images.sizes(), " ", images.scalar_type(), "; allowed: [",
              shape_.frames == 1 ? "" : std::to_string(shape_.frames) + " * ", "N, ",
              shape_.channels, ", ", shape_.height, ", ", shape_.width, "] float32");
}

}  // namespace bsnn::trainer
