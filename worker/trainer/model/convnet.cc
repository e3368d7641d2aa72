// convnet (science.md §7): 3x3 float stem to 16, then 3x3 binary to 32 and to 64, each with BN,
// gate and LIF behind it; 2x2 max pooling on the spikes of the first two; flatten; float
// classifier.

#include "worker/trainer/model/layers.h"
#include "worker/trainer/nn/conv.h"

namespace bsnn::trainer {
namespace {

constexpr double kClassifierDeviation = 0.01;  // as the group's VGG, science.md §1.5

class Convnet final : public LayeredNetwork {
 public:
  Convnet(const spec::JobSpec& spec, const InputShape& shape)
      : LayeredNetwork(spec, shape),
        conv1_(MakePlainConv("conv1", {shape.channels, 16, 3})),
        counter1_(MakeCounter("conv1")),
        conv2_(MakeHiddenConv("conv2", {16, 32, 3}, 32)),
        counter2_(MakeCounter("conv2", conv2_.gate)),
        conv3_(MakeHiddenConv("conv3", {32, 64, 3}, 64)),
        counter3_(MakeCounter("conv3", conv3_.gate)),
        fc_(MakeLinear(64 * (shape.height / 4) * (shape.width / 4), shape.classes,
                       kClassifierDeviation)) {}

  at::Tensor Forward(const at::Tensor& images) override {
    Begin(images);
    NormCall stem = Call(counter1_);
    stem.neuron = spec_.neuron;
    stem.same_input = same_input();
    stem.pool = !notes_spikes();
    const at::Tensor drive = RunStem(images, conv1_.weight);
    at::Tensor spikes = NoteSpikes(NormGateFire(drive, conv1_.norm, stem));
    if (!stem.pool) spikes = MaxPool2(spikes);
    spikes = Hidden(conv2_, counter2_, spikes, /*pool=*/true);
    spikes = Hidden(conv3_, counter3_, spikes, /*pool=*/false);
    return Classify(fc_, spikes.flatten(1), 1);
  }

  void Express(NirBuilder& nir) override {
    NirWire x = nir.Neurons("conv1.lif", ExpressStem(nir, "conv1", conv1_));
    x = ExpressHidden(nir, conv2_, nir.MaxPool("conv1.pool", x, 2, 2, 0));
    x = nir.MaxPool("conv2.pool", nir.Neurons("conv2.lif", x), 2, 2, 0);
    ExpressClassifier(nir, fc_, nir.Neurons("conv3.lif", ExpressHidden(nir, conv3_, x)));
  }

 private:
  /// A gate on spikes stands between neuron and pooling, so that both cannot be one pass.
  at::Tensor Hidden(const HiddenConv& layer, size_t counter, const at::Tensor& spikes, bool pool) {
    NormCall call = Call(counter);
    call.neuron = spec_.neuron;
    const bool gates_spikes = layer.gate && layer.gate->spec.place == spec::GatePlace::kOnSpikes;
    call.pool = pool && !gates_spikes && !notes_spikes();
    const at::Tensor fired = NoteSpikes(RunHidden(layer, spikes, 1, call));
    const at::Tensor gated = gates_spikes ? GateSpikes(layer, fired, call) : fired;
    return pool && !call.pool ? MaxPool2(gated) : gated;
  }

  const PlainConv conv1_;
  const size_t counter1_;
  const HiddenConv conv2_;
  const size_t counter2_;
  const HiddenConv conv3_;
  const size_t counter3_;
  const Linear fc_;
};

}  // namespace

std::unique_ptr<Network> MakeConvnet(const spec::JobSpec& spec, const InputShape& shape) {
  return std::make_unique<Convnet>(spec, shape);
}

}  // namespace bsnn::trainer
