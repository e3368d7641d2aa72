// VGG networks (science.md §1.6): 3x3 convolutions with BN, gate and neuron, pooling after every
// second one. The first convolution is float and runs once, as direct coding gives it the same
// picture at each time step.
//
// vgg11   64-128-MP2-256-256-MP2-512-512-MP2-512-512-GAP-FC. Max pooling on spikes is the logical
//         or.
// vggsnn  64-128-AP2-256-256-AP2-512-512-AP2-512-512-AP2-FC. Average pooling, so that every second
//         convolution sees quarters. TET's convolutions have a bias, which BN would take away
//         again; ours have none.

#include <ATen/ops/avg_pool2d.h>

#include "worker/trainer/model/layers.h"
#include "worker/trainer/nn/conv.h"

namespace bsnn::trainer {
namespace {

constexpr double kClassifierDeviation = 0.01;  // science.md §1.5
constexpr int64_t kWidths[] = {64, 128, 256, 256, 512, 512, 512, 512};

class Vgg final : public LayeredNetwork {
 public:
  Vgg(const spec::JobSpec& spec, const InputShape& shape)
      : LayeredNetwork(spec, shape),
        averages_(spec.network.name == spec::NetworkName::kVggsnn),
        stem_(MakePlainConv("conv1", {shape.channels, kWidths[0], 3})),
        stem_counter_(MakeCounter("conv1")) {
    for (size_t i = 1; i < std::size(kWidths); ++i) {
      const std::string name = "conv" + std::to_string(i + 1);
      HiddenConv conv = MakeHiddenConv(name, {kWidths[i - 1], kWidths[i], 3}, kWidths[i - 1]);
      if (averages_ && i % 2 == 0) conv.sees_spikes = false;  // it stands behind average pooling
      const size_t counter = MakeCounter(name, conv.gate);
      layers_.push_back({std::move(conv), counter});
    }
    const int64_t pixels = averages_ ? (shape.height / 16) * (shape.width / 16) : 1;
    fc_ = MakeLinear(kWidths[7] * pixels, shape.classes, kClassifierDeviation);
  }

  at::Tensor Forward(const at::Tensor& images) override {
    Begin(images);
    NormCall stem = Call(stem_counter_);
    stem.neuron = spec_.neuron;
    stem.same_input = same_input();
    at::Tensor spikes = NoteSpikes(NormGateFire(RunStem(images, stem_.weight), stem_.norm, stem));
    int64_t averaged = 1;  // spikes a value stands for
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      NormCall call = Call(layer.counter);
      call.neuron = spec_.neuron;
      const bool pool = PoolsBehind(i);
      call.pool = pool && !averages_ && !notes_spikes();
      spikes = NoteSpikes(
          RunHidden(layer.conv, GateSpikes(layer.conv, spikes, call), 1, call, averaged));
      averaged = pool && averages_ ? 4 : 1;
      if (averaged > 1) spikes = at::avg_pool2d(spikes, 2, 2);
      if (pool && !averages_ && !call.pool) spikes = MaxPool2(spikes);
    }
    if (averages_) return Classify(fc_, spikes.flatten(1), averaged);
    return Classify(fc_, PixelMean(spikes), spikes.size(2) * spikes.size(3));
  }

  void Express(NirBuilder& nir) override {
    NirWire x = nir.Neurons("conv1.lif", ExpressStem(nir, "conv1", stem_));
    for (size_t i = 0; i < layers_.size(); ++i) {
      const std::string name = weight_layers_[layers_[i].conv.index].name;
      x = nir.Neurons(name + ".lif", ExpressHidden(nir, layers_[i].conv, x));
      if (!PoolsBehind(i)) continue;
      x = averages_ ? nir.AvgPool(name + ".pool", x, 2, 2)
                    : nir.MaxPool(name + ".pool", x, 2, 2, 0);
    }
    if (!averages_) x = nir.AvgPool("pool", x, x.shape[1], x.shape[2]);
    ExpressClassifier(nir, fc_, x);
  }

 private:
  /// Behind the second, fourth, sixth and (vggsnn) eighth convolution.
  bool PoolsBehind(size_t i) const { return i % 2 == 0 && (averages_ || i < 6); }

  struct Layer {
    HiddenConv conv;
    size_t counter;
  };

  const bool averages_;
  const PlainConv stem_;
  const size_t stem_counter_;
  std::vector<Layer> layers_;
  Linear fc_;
};

}  // namespace

std::unique_ptr<Network> MakeVgg(const spec::JobSpec& spec, const InputShape& shape) {
  return std::make_unique<Vgg>(spec, shape);
}

}  // namespace bsnn::trainer
