// Residual networks of basic blocks (science.md §1.6): two 3x3 binary convolutions, each with BN
// and gate, and a shortcut around both.
//
// resnet18, 19, 20  convolution, BN, gate, neuron, convolution, BN, gate, plus the shortcut,
// neuron:
//                   the neuron stands behind the addition, so that every convolution sees 0 and 1.
// sew_resnet18      the neuron stands before the addition: spikes are added to spikes, and what a
//                   block hands on are small whole numbers (Fang et al., NeurIPS 2021, eq. 6, ADD).
//
// Where a stage changes size or width, the shortcut is a 1x1 convolution, binary as in Q-SNN, with
// BN and gate (and a neuron in sew_resnet18). The stem is float and runs once: 7x7 of stride 2 in
// the two networks of 18 layers where a side has at least 64 pixels, else 3x3; behind its neuron,
// such pictures pass a 3x3 max pooling of stride 2.

#include <ATen/TensorOperators.h>
#include <ATen/ops/max_pool2d.h>

#include "worker/trainer/model/layers.h"
#include "worker/trainer/nn/neuron.h"

namespace bsnn::trainer {
namespace {

struct Plan {
  int64_t stem;
  std::vector<Stage> stages;
};

Plan PlanOf(spec::NetworkName name) {
  switch (name) {
    case spec::NetworkName::kResnet19:
      return {128, {{128, 3}, {256, 3}, {512, 2}}};
    case spec::NetworkName::kResnet20:
      return {64, {{128, 3}, {256, 3}, {512, 3}}};
    default:  // resnet18 and sew_resnet18
      return {64, {{64, 2}, {128, 2}, {256, 2}, {512, 2}}};
  }
}

class Resnet final : public LayeredNetwork {
 public:
  Resnet(const spec::JobSpec& spec, const InputShape& shape)
      : LayeredNetwork(spec, shape),
        adds_spikes_(spec.network.name == spec::NetworkName::kSewResnet18),
        large_(std::min(shape.height, shape.width) >= kPooledStemSide) {
    const Plan plan = PlanOf(spec.network.name);
    const bool eighteen = adds_spikes_ || spec.network.name == spec::NetworkName::kResnet18;
    stem_stride_ = large_ && eighteen ? 2 : 1;
    stem_ = MakePlainConv("stem", {shape.channels, plan.stem, large_ && eighteen ? 7 : 3});
    stem_counter_ = MakeCounter("stem");
    int64_t channels = plan.stem;
    for (size_t s = 0; s < plan.stages.size(); ++s) {
      const auto [width, blocks] = plan.stages[s];
      for (int64_t b = 0; b < blocks; ++b) {
        const std::string name = "stage" + std::to_string(s + 1) + ".block" + std::to_string(b + 1);
        blocks_.push_back(MakeBlock(name, channels, width, s > 0 && b == 0 ? 2 : 1));
        channels = width;
      }
    }
    fc_ = MakeLinear(channels, shape.classes, 1.0 / static_cast<double>(channels));
  }

  at::Tensor Forward(const at::Tensor& images) override {
    Begin(images);
    NormCall stem = Call(stem_counter_);
    stem.neuron = spec_.neuron;
    stem.same_input = same_input();
    const at::Tensor drive = RunStem(images, stem_.weight, stem_stride_);
    at::Tensor x = NoteSpikes(NormGateFire(drive, stem_.norm, stem));
    if (large_) x = at::max_pool2d(x, 3, 2, 1);
    for (const Block& block : blocks_) x = Run(block, x);
    return Classify(fc_, PixelMean(x), x.size(2) * x.size(3));
  }

  void Express(NirBuilder& nir) override {
    NirWire x = nir.Neurons("stem.lif", ExpressStem(nir, "stem", stem_, stem_stride_));
    if (large_) x = nir.MaxPool("stem.pool", x, 3, 2, 1);
    for (const Block& block : blocks_) {
      const NirWire inner = ExpressFired(nir, block.first, x, block.stride);
      if (adds_spikes_) {
        if (block.shortcut) x = ExpressFired(nir, *block.shortcut, x, block.stride);
        x = NirBuilder::Add(ExpressFired(nir, block.second, inner, 1), x);
      } else {
        if (block.shortcut) x = ExpressHidden(nir, block.shortcut->conv, x, block.stride);
        x = NirBuilder::Add(ExpressHidden(nir, block.second.conv, inner), x);
        x = nir.Neurons(weight_layers_[block.second.conv.index].name + ".lif", x);
      }
    }
    ExpressClassifier(nir, fc_, nir.AvgPool("pool", x, x.shape[1], x.shape[2]));
  }

 private:
  struct Hidden {
    HiddenConv conv;
    size_t counter;
  };
  struct Block {
    Hidden first, second;
    std::optional<Hidden> shortcut;
    int64_t stride = 1;
  };

  Hidden MakeHidden(const std::string& name, const ConvSize& size) {
    HiddenConv conv = MakeHiddenConv(name, size, size.in);
    const size_t counter = MakeCounter(name, conv.gate);
    return {std::move(conv), counter};
  }

  Block MakeBlock(const std::string& name, int64_t in, int64_t out, int64_t stride) {
    Block block{MakeHidden(name + ".conv1", {in, out, 3}),
                MakeHidden(name + ".conv2", {out, out, 3}), std::nullopt, stride};
    if (stride != 1 || in != out) block.shortcut = MakeHidden(name + ".shortcut", {in, out, 1});
    if (adds_spikes_) {
      block.first.conv.sees_spikes = false;
      if (block.shortcut) block.shortcut->conv.sees_spikes = false;
    }
    return block;
  }

  /// Convolution, BN and gate; with the neuron where `fires`, else plus `residual` where defined.
  at::Tensor Drive(const Hidden& layer, const at::Tensor& x, int64_t stride, bool fires,
                   const at::Tensor& residual = {}) {
    NormCall call = Call(layer.counter);
    if (fires) call.neuron = spec_.neuron;
    call.residual = residual;
    const at::Tensor y = RunHidden(layer.conv, GateSpikes(layer.conv, x, call), stride, call);
    return fires ? NoteSpikes(y) : y;
  }

  NirWire ExpressFired(NirBuilder& nir, const Hidden& layer, const NirWire& x, int64_t stride) {
    return nir.Neurons(weight_layers_[layer.conv.index].name + ".lif",
                       ExpressHidden(nir, layer.conv, x, stride));
  }

  at::Tensor Run(const Block& block, const at::Tensor& x) {
    const at::Tensor shortcut =
        block.shortcut ? Drive(*block.shortcut, x, block.stride, adds_spikes_) : x;
    const at::Tensor inner = Drive(block.first, x, block.stride, /*fires=*/true);
    if (adds_spikes_) return Drive(block.second, inner, 1, /*fires=*/true) + shortcut;
    const at::Tensor sum = Drive(block.second, inner, 1, /*fires=*/false, shortcut);
    const LifOptions neuron{spec_.neuron, steps(), false};
    return NoteSpikes(Lif(sum, neuron, Call(block.second.counter).spike_count));
  }

  const bool adds_spikes_;
  const bool large_;
  int64_t stem_stride_ = 1;
  PlainConv stem_;
  size_t stem_counter_ = 0;
  std::vector<Block> blocks_;
  Linear fc_;
};

}  // namespace

std::unique_ptr<Network> MakeResnet(const spec::JobSpec& spec, const InputShape& shape) {
  return std::make_unique<Resnet>(spec, shape);
}

}  // namespace bsnn::trainer
