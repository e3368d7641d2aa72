/// Says a network in the Neuromorphic Intermediate Representation, layer by layer. Private to
/// model/ and export/.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/status.h>

#include <array>
#include <string>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/export/nir_graph.h"
#include "worker/trainer/model/network.h"
#include "worker/trainer/nn/batch_norm.h"

namespace bsnn::trainer {

/// What flows in the graph: the sum of some nodes' outputs, [C, H, W].
struct NirWire {
  std::vector<std::string> from;
  std::array<int64_t, 3> shape;
};

/// Each call adds nodes. Names are those of layers; their dots become underscores.
class NirBuilder {
 public:
  /// Seconds that one time step stands for: what snnTorch's reader takes for granted.
  static constexpr double kStepSeconds = 1e-4;

  explicit NirBuilder(const spec::NeuronSpec& neuron);

  NirWire Input(const InputShape& shape);
  /// Convolution with zero padding of half the kernel, the normalisation's evaluation folded in:
  /// weight [O, I, k, k] times a_o, bias b_o with y = a_o x + b_o. Worked out in float64.
  NirWire Conv(const std::string& name, const NirWire& x, const at::Tensor& weight,
               const BatchNorm& norm, int64_t stride = 1);
  /// v' = decay v + x as one Euler step of NIR's LIF: tau = dt / (1 - decay), r = 1 / (1 - decay);
  /// of its IF, r = 1 / dt, where decay is 1.
  NirWire Neurons(const std::string& name, const NirWire& x);
  /// Of spikes: the logical or, said as sum pooling and a threshold of a half.
  NirWire MaxPool(const std::string& name, const NirWire& spikes, int64_t kernel, int64_t stride,
                  int64_t padding);
  /// Windows side by side. What is left at odd sides is dropped, unless `rounds_up`, which NIR
  /// cannot say: refused where it would matter.
  NirWire AvgPool(const std::string& name, const NirWire& x, int64_t height, int64_t width,
                  bool rounds_up = false);
  static NirWire Add(const NirWire& a, const NirWire& b);
  /// Flattens, applies the classifier [K, F] and [K], and ends the graph.
  void Classify(const NirWire& x, const at::Tensor& weight, const at::Tensor& bias);

  /// Notes something that NIR has no word for; the first counts.
  void Refuse(const std::string& field, const std::string& value, const std::string& allowed);

  /// The graph without metadata. InvalidArgument (base::InvalidFields) naming what was refused.
  absl::StatusOr<NirGraph> Finish();

 private:
  NirWire AddNode(const std::string& name, std::string type, NirFields fields, const NirWire& x,
                  const std::array<int64_t, 3>& shape);

  const spec::NeuronSpec neuron_;
  NirGraph graph_;
  absl::Status status_;
};

}  // namespace bsnn::trainer
