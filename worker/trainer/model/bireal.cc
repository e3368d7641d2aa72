// Bi-Real networks (science.md §1.6 and §7). A block is LIF, binary 3x3 convolution, BN, gate, plus
// the shortcut of its real-valued input. Where a stage begins with a stride of 2, the shortcut is
// 2x2 average pooling (rounded up, as the convolution rounds), a float 1x1 convolution and BN.
//
// The stem is a float 3x3 convolution with BN and no neuron; the 3x3 max pooling of stride 2 behind
// it stands only where a side has at least 64 pixels: on smaller pictures the sources leave it out.

#include <ATen/ops/max_pool2d.h>

#include "worker/trainer/model/layers.h"

namespace bsnn::trainer {
namespace {

std::vector<Stage> StagesOf(spec::NetworkName name) {
  switch (name) {
    case spec::NetworkName::kBirealResnet8:
      return {{32, 2}, {64, 2}, {128, 2}};
    case spec::NetworkName::kBirealResnet19:  // ResNet-19's widths, each of its blocks as two
      return {{128, 6}, {256, 6}, {512, 4}};
    case spec::NetworkName::kBirealResnet34:
      return {{64, 6}, {128, 8}, {256, 12}, {512, 6}};
    default:
      return {{64, 4}, {128, 4}, {256, 4}, {512, 4}};
  }
}

struct Block {
  HiddenConv conv;
  std::optional<PlainConv> shortcut;
  size_t counter = 0;
  int64_t stride = 1;
};

class Bireal final : public LayeredNetwork {
 public:
  Bireal(const spec::JobSpec& spec, const InputShape& shape) : LayeredNetwork(spec, shape) {
    const std::vector<Stage> stages = StagesOf(spec.network.name);
    stem_ = MakePlainConv("stem", {shape.channels, stages[0].channels, 3});
    int64_t channels = stages[0].channels;
    for (size_t s = 0; s < stages.size(); ++s) {
      for (int64_t b = 0; b < stages[s].blocks; ++b) {
        const std::string name = "stage" + std::to_string(s + 1) + ".conv" + std::to_string(b + 1);
        AddBlock(name, channels, stages[s].channels, s > 0 && b == 0 ? 2 : 1);
        channels = stages[s].channels;
      }
    }
    fc_ = MakeLinear(channels, shape.classes, 1.0 / static_cast<double>(channels));
  }

  at::Tensor Forward(const at::Tensor& images) override {
    Begin(images);
    NormCall stem = Call(std::nullopt);
    stem.steps = 1;
    at::Tensor x = NormGateFire(RunStem(images, stem_.weight), stem_.norm, stem);
    if (std::min(shape_.height, shape_.width) >= kPooledStemSide) x = at::max_pool2d(x, 3, 2, 1);
    for (const Block& block : blocks_) x = Run(block, x, same_input() && &block == &blocks_[0]);
    return Classify(fc_, PixelMean(x), 0);
  }

  void Express(NirBuilder& nir) override {
    NirWire x = ExpressStem(nir, "stem", stem_);
    if (std::min(shape_.height, shape_.width) >= kPooledStemSide) {
      nir.Refuse("input", std::to_string(shape_.height) + "x" + std::to_string(shape_.width),
                 "a side below 64: larger pictures pass a max pooling of real numbers behind the "
                 "stem, which NIR does not have");
    }
    for (const Block& block : blocks_) {
      const std::string name = weight_layers_[block.conv.index].name;
      const NirWire spikes = nir.Neurons(name + ".lif", x);
      if (block.shortcut) {
        const NirWire pooled = nir.AvgPool(name + ".pool", x, 2, 2, /*rounds_up=*/true);
        x = nir.Conv(name + ".shortcut", pooled, block.shortcut->weight, block.shortcut->norm);
      }
      x = NirBuilder::Add(ExpressHidden(nir, block.conv, spikes, block.stride), x);
    }
    ExpressClassifier(nir, fc_, nir.AvgPool("pool", x, x.shape[1], x.shape[2]));
  }

 private:
  void AddBlock(const std::string& name, int64_t in, int64_t out, int64_t stride) {
    Block block{MakeHiddenConv(name, {in, out, 3}, in), std::nullopt, 0, stride};
    if (stride != 1 || in != out) block.shortcut = MakePlainConv(name + ".shortcut", {in, out, 1});
    block.counter = MakeCounter(name, block.conv.gate);
    blocks_.push_back(std::move(block));
  }

  /// same_input: x is [B, C, H, W], the same at each step; the first block has no shortcut.
  at::Tensor Run(const Block& block, const at::Tensor& x, bool same_input) {
    NormCall call = Call(block.counter);
    if (!block.shortcut) call.residual = x;
    const FiredNorm fired = FireHidden(block.conv, x, block.stride, call, same_input);
    if (!block.shortcut) return fired.y;
    NormCall shortcut = Call(std::nullopt);
    shortcut.residual = fired.y;
    return NormGateFire(RunConv(fired.pooled, block.shortcut->weight, 1), block.shortcut->norm,
                        shortcut);
  }

  PlainConv stem_;
  std::vector<Block> blocks_;
  Linear fc_;
};

}  // namespace

std::unique_ptr<Network> MakeBireal(const spec::JobSpec& spec, const InputShape& shape) {
  return std::make_unique<Bireal>(spec, shape);
}

}  // namespace bsnn::trainer
