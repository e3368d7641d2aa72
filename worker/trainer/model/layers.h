/// Pieces that the networks are put together from. Private to model/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "worker/trainer/model/network.h"
#include "worker/trainer/model/nir_builder.h"
#include "worker/trainer/nn/agmm.h"
#include "worker/trainer/nn/batch_norm.h"
#include "worker/trainer/nn/fire_conv_norm.h"
#include "worker/trainer/nn/random.h"

namespace bsnn::trainer {

struct ConvSize {
  int64_t in = 1;
  int64_t out = 1;
  int64_t kernel = 3;
};

/// A full-precision convolution and its normalisation: stem or shortcut.
struct PlainConv {
  at::Tensor weight;  ///< [O, I, k, k]
  BatchNorm norm;
};

/// A hidden convolution (binary, or full-precision in an snn) with normalisation and gate.
struct HiddenConv {
  size_t index = 0;  ///< in weight_layers()
  BatchNorm norm;
  std::optional<Gate> gate;
  bool sees_spikes = true;  ///< its input is 0 or 1; false behind a gate on spikes, for one
};

/// Hidden convolutions, or blocks of them, of one width.
struct Stage {
  int64_t channels;
  int64_t blocks;
};

/// Residual networks pool behind their stem where both sides have at least this many pixels.
inline constexpr int64_t kPooledStemSide = 64;

struct Linear {
  at::Tensor weight;  ///< [K, F]
  at::Tensor bias;    ///< [K]
};

/// A network with the means to make its layers and to run the parts that all networks share.
class LayeredNetwork : public Network {
 protected:
  LayeredNetwork(const spec::JobSpec& spec, const InputShape& shape);

  PlainConv MakePlainConv(const std::string& name, const ConvSize& size);
  /// `spike_channels`: of the spikes that a gate on spikes would stand on.
  HiddenConv MakeHiddenConv(const std::string& name, const ConvSize& size, int64_t spike_channels);
  /// Weights from N(0, deviation^2), bias 0.
  Linear MakeLinear(int64_t features, int64_t classes, double deviation);
  /// Registers `layer` in Activity(). Returns its index.
  size_t MakeCounter(const std::string& layer, const std::optional<Gate>& gate = std::nullopt);

  /// The first convolution, of the picture; its weight is rounded where spec.network.ends says so.
  at::Tensor RunStem(const at::Tensor& images, const at::Tensor& weight, int64_t stride = 1);
  /// The convolution, of a real-valued input, with zero padding of half the kernel.
  at::Tensor RunConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride);

  /// A call for this mode, with `counter`'s places to count into where activity is counted.
  NormCall Call(std::optional<size_t> counter) const;

  /// The convolution with the effective weight, up to and including normalisation, gate (unless it
  /// stands on the spikes), and what `call` asks for behind them.
  /// `spikes_per_unit` as in LayerDescription.
  at::Tensor RunHidden(const HiddenConv& layer, const at::Tensor& spikes, int64_t stride,
                       NormCall call, int64_t spikes_per_unit = 1);
  /// What RunHidden does behind the convolution, whose output is y.
  at::Tensor NormHidden(const HiddenConv& layer, const at::Tensor& y, NormCall call,
                        int64_t spikes_per_unit = 1);
  /// The neuron, the convolution, and all that RunHidden does behind it. call.residual is x or
  /// undefined; counts as `call` says. With same_input, x is [N, ...] in place of [T*N, ...], and
  /// call.residual must be x.
  FiredNorm FireHidden(const HiddenConv& layer, const at::Tensor& x, int64_t stride,
                       const NormCall& call, bool same_input);
  /// The gate where it stands on spikes; else `spikes` as they are.
  at::Tensor GateSpikes(const HiddenConv& layer, const at::Tensor& spikes, const NormCall& call);

  /// Takes spikes (before any pooling) down for TakeFiringRates. Returns them.
  at::Tensor NoteSpikes(at::Tensor spikes);
  /// Whether spikes are wanted as they are before pooling, so that both cannot be one pass.
  bool notes_spikes() const { return keep_firing_rates_ && training_; }

  /// The mean of each channel, [N, C, H, W] to [N, C]; its gradient is in channels-last memory,
  /// too.
  static at::Tensor PixelMean(const at::Tensor& x);
  /// features [T*N, F] to logits [T, N, K]. `spikes_per_unit` as in LayerDescription.
  at::Tensor Classify(const Linear& head, const at::Tensor& features, int64_t spikes_per_unit);

  /// The same layers for Express: the first convolution, a hidden one up to its normalisation, and
  /// the classifier.
  NirWire ExpressStem(NirBuilder& nir, const std::string& name, const PlainConv& stem,
                      int64_t stride = 1) const;
  NirWire ExpressHidden(NirBuilder& nir, const HiddenConv& layer, const NirWire& x,
                        int64_t stride = 1);
  void ExpressClassifier(NirBuilder& nir, const Linear& head, const NirWire& x) const;

  /// First in each Forward: checks the images.
  void Begin(const at::Tensor& images);

  int64_t steps() const { return spec_.network.time_steps; }
  /// Whether the same picture is the input of each time step, so that the stem runs once.
  bool same_input() const { return shape_.frames == 1; }

 private:
  at::Tensor AddParameter(const std::string& name, at::Tensor value, bool decay);
  at::Tensor AddBuffer(const std::string& name, at::Tensor value);
  at::Tensor Normal(at::IntArrayRef sizes, double deviation);
  BatchNorm MakeNorm(const std::string& name, int64_t channels);
  std::optional<Gate> MakeGate(const std::string& name, int64_t channels);
  at::Tensor EffectiveWeight(size_t index);
  ConvOptions HiddenOptions(const HiddenConv& layer, int64_t stride) const;
  at::Tensor EndWeight(const at::Tensor& weight) const;
  /// Zero padding of half the kernel.
  ConvOptions Options(const at::Tensor& weight, int64_t stride) const;

  uint64_t next_stream_ = 0;  ///< of the generator: one for each random tensor
};

/// Each network as Network::Make makes it; `shape` is checked.
std::unique_ptr<Network> MakeConvnet(const spec::JobSpec& spec, const InputShape& shape);
std::unique_ptr<Network> MakeBireal(const spec::JobSpec& spec, const InputShape& shape);
std::unique_ptr<Network> MakeResnet(const spec::JobSpec& spec, const InputShape& shape);
std::unique_ptr<Network> MakeVgg(const spec::JobSpec& spec, const InputShape& shape);

}  // namespace bsnn::trainer
