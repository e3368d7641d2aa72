/// The network that a job trains: built from its spec, with its parameters, its state for
/// checkpoints, and what is measured inside it.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/data/input_shape.h"
#include "worker/trainer/nn/named_tensor.h"
#include "worker/trainer/nn/weight_layer.h"

namespace bsnn::trainer {

class NirBuilder;
class Ranks;

struct Parameter {
  std::string name;   ///< "conv2.weight", "conv2.bn.bias", "conv2.gate.alpha", "fc.weight"
  at::Tensor tensor;  ///< float32, requires grad
  bool decay =
      false;  ///< whether weight decay applies: weights of convolutions and classifier only
  bool binary = false;  ///< whether the network sees its signs alone
  bool end = false;     ///< weight of the first convolution or the classifier: network.ends
};

/// One layer with weights, as it is for one picture.
struct LayerDescription {
  std::string name;                   ///< "conv2", "fc"
  std::vector<int64_t> weight_shape;  ///< [O, I, k, k] or [K, F]
  std::vector<int64_t> output_shape;  ///< [C, H, W] or [K]
  bool binary = false;
  bool int8 = false;  ///< rounded to 8 bits
  /// Products of one time step: multiply and accumulate, or accumulate alone where the input is
  /// spikes.
  int64_t operations = 0;
  /// How often they are done: 1 where the input is the picture itself, else T.
  int64_t repetitions = 1;
  /// Spikes that an input value of 1 stands for, so that products are additions: 1 for spikes and
  /// their sums, the number of pixels where spikes were averaged; 0 for a real-valued input.
  int64_t spikes_per_unit = 0;
  /// Values of one time step that the layer's gate weighs; 0 without a gate.
  int64_t gated_values = 0;

  /// Bytes of the weight: a bit each where it is binary, a byte with int8, else 4.
  int64_t packed_bytes() const;
};

/// Gradients of the last backward pass for one weight layer.
struct LayerGradient {
  std::string layer;
  at::Tensor effective;  ///< dL/d(weight as the convolution sees it: scale times -1 or +1)
  at::Tensor latent;     ///< dL/d(latent weight), after the straight-through rule
};

/// Means since the last ResetActivity.
struct LayerActivity {
  std::string layer;  ///< "all" pools the layers: every neuron, every gate
  /// Share of spikes among neurons and pictures, one value a time step. The neurons after the
  /// layer's normalisation in `convnet`; the ones that feed its convolution in Bi-Real networks.
  /// Empty where nothing was counted.
  std::vector<double> firing_rate;
  /// Mean of the gate sigmoid(E) over time, pictures, and what else it varies over; NaN: no gate.
  double gate_mean = 0;
  /// alpha now, one value a time step (mean over channels with learn_tc); empty: no gate.
  std::vector<double> alpha;
};

/// A spiking network with direct coding: the input of each time step is the same picture, or one
/// frame of a recording.
///
/// Confined to one thread at a time (its kernels use ATen's threads). Results do not depend on the
/// number of threads, except through the convolutions and matrix products of ATen.
class Network {
 public:
  virtual ~Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Builds the network of `spec` with initial weights drawn from spec.training.seed by a generator
  /// of its own. InvalidArgument (base::InvalidFields) where the network cannot take the shape.
  /// Parameters are made on the CPU; see To().
  static absl::StatusOr<std::unique_ptr<Network>> Make(const spec::JobSpec& spec,
                                                       const InputShape& shape);

  /// images [N, C, H, W] float32, or [T*N, C, H, W], time outermost, where the shape has T frames;
  /// in any memory format, on the network's device; normalised as the data set says. Returns logits
  /// [T, N, K] float32.
  /// Differentiable in the parameters. In evaluation, call it under c10::InferenceMode or
  /// at::NoGradGuard. Throws c10::Error if the shape or dtype is another.
  virtual at::Tensor Forward(const at::Tensor& images) = 0;

  /// Says the layers from picture to classifier to `nir` as they are in evaluation, gates left out.
  /// What NIR has no word for is refused there. Call it without gradients.
  virtual void Express(NirBuilder& nir) = 0;

  /// Training: batch statistics, running statistics updated. Evaluation: running statistics.
  /// A new network is in training mode.
  void SetTraining(bool training) { training_ = training; }
  bool training() const { return training_; }

  /// Sets the sharpness of the standardised backward rule for step `step` (0-based) of `total`:
  /// start * (end / start)^(step / total). Call before each step. Not state: derived from the step.
  void SetTrainingProgress(int64_t step, int64_t total);

  /// Moves parameters and state to `device`. Call before an optimiser is built.
  void To(at::Device device);

  /// Ranks whose pictures batch norm takes its statistics over in training (nn/batch_norm.h); null,
  /// as at first: this one's. They outlive the network.
  void TakeStatisticsOver(Ranks* ranks) { statistics_ranks_ = ranks; }

  const InputShape& shape() const { return shape_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// Whether the parameter is used rounded to 8 bits (network.ends).
  bool RoundsToInt8(const Parameter& parameter) const {
    return parameter.end && spec_.network.ends == spec::Ends::kInt8;
  }
  int64_t parameter_count() const;
  /// Bytes of all parameters as float32.
  int64_t float_bytes() const { return 4 * parameter_count(); }
  /// Bytes with one bit for a binary weight, one byte for a weight of int8 ends and 4 for any other
  /// parameter (science.md §1.6).
  int64_t packed_bytes() const;
  /// The layers with weights in the order in which they run: a forward pass of one black picture.
  std::vector<LayerDescription> Describe();
  int64_t binary_weight_count() const;

  /// Parameters and running statistics: all that inference needs. The tensors share memory with
  /// the network: restore with RestoreState(network.State(), loaded, ...).
  NamedTensors State() const;

  /// Running statistics: the part of State() that is not a parameter.
  const NamedTensors& buffers() const { return buffers_; }

  /// From now on weights are taken as they are, neither binarised nor rounded: they were restored
  /// from a packed model, which holds what the network computes with. For evaluation.
  void TakeWeightsAsTheyAre() { deployed_ = true; }

  /// The hidden convolutions, first to last; the stem, shortcuts and classifier are not among them.
  const std::vector<WeightLayer>& weight_layers() const { return weight_layers_; }

  /// Whether forward passes keep what Gradients() needs. Off at first. Cheap: no copies.
  void KeepGradients(bool keep) { keep_gradients_ = keep; }
  /// One entry a weight layer, in order, between a backward pass and the next Forward. Throws
  /// c10::Error if KeepGradients was off at the last forward pass or none was run backward.
  std::vector<LayerGradient> Gradients() const;

  /// Whether training passes keep what TakeFiringRates() gives. Off at first.
  void KeepFiringRates(bool keep) { keep_firing_rates_ = keep; }
  /// The mean spike of each layer of neurons in the last forward pass, first to last: scalars with
  /// their gradients.
  std::vector<at::Tensor> TakeFiringRates() { return std::exchange(firing_rates_, {}); }

  /// Whether forward passes add to Activity(). Off at first. Counts while training and evaluating.
  void CountActivity(bool count) { count_activity_ = count; }
  /// One entry a layer with neurons or a gate, first to last, and "all".
  std::vector<LayerActivity> Activity() const;
  void ResetActivity();
  /// The counters behind Activity(), for checkpoints inside an epoch.
  NamedTensors ActivityState() const;

  /// Whether forward passes add to InputMeans(). Off at first; turning it on begins anew.
  void MeasureInputs(bool measure);
  /// The mean input of each of `layers` (Describe()), over pictures, time steps and values; with a
  /// gate on spikes, the share of inputs that are not 0. NaN where spikes_per_unit is 0, and where
  /// no pass was run.
  std::vector<double> InputMeans(const std::vector<LayerDescription>& layers) const;
  /// Adds what the other ranks measured. A collective: each has run a pass at least.
  void SumInputsOver(Ranks& ranks);

 protected:
  struct ActivityCounter {
    std::string layer;
    at::Tensor spikes;  ///< [2, T] int64: spikes, and neurons times pictures
    at::Tensor gate;    ///< [2] float64: sum of gates, number of gates
    at::Tensor alpha;   ///< the live parameter or constant; undefined: no gate
  };

  Network(const spec::JobSpec& spec, const InputShape& shape) : spec_(spec), shape_(shape) {}

  // Fixed after construction.
  const spec::JobSpec spec_;
  const InputShape shape_;
  std::vector<Parameter> parameters_;
  NamedTensors buffers_;
  std::vector<WeightLayer> weight_layers_;
  /// Notes that `weight` made `output`, while Describe runs.
  void Trace(const at::Tensor& weight, const at::Tensor& output, int64_t spikes_per_unit);
  /// Notes the input of `weight`'s layer, while inputs are measured: its values, or their sum
  /// (a scalar) and number.
  void MeasureInput(const at::Tensor& weight, const at::Tensor& input);
  void AddInput(const at::Tensor& weight, const at::Tensor& sum, int64_t values);
  /// Notes that a gate weighs `values`, while Describe runs.
  void TraceGate(size_t weight_layer, const at::Tensor& values);

  // Changing.
  struct InputSum {
    at::Tensor sum;  ///< float64 scalar; undefined where nothing was added
    int64_t values = 0;
  };

  std::vector<LayerDescription>* trace_ = nullptr;
  std::vector<int64_t> gated_values_;           ///< one a weight layer, while Describe runs
  std::map<std::string, InputSum> input_sums_;  ///< by layer
  bool measure_inputs_ = false;
  std::vector<ActivityCounter> activity_;
  std::vector<at::Tensor> effective_;  ///< of the last forward pass, one a weight layer
  double sharpness_ = 0.1;
  Ranks* statistics_ranks_ = nullptr;
  bool training_ = true;
  bool deployed_ = false;
  bool keep_gradients_ = false;
  bool keep_firing_rates_ = false;
  std::vector<at::Tensor> firing_rates_;
  bool count_activity_ = false;
};

}  // namespace bsnn::trainer
