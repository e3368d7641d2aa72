#include "worker/trainer/train/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

#include "worker/trainer/checkpoint/pack.h"
#include "worker/trainer/data/dataset.h"

namespace bsnn::trainer {
namespace {

constexpr const char* kRow = "{:<24} {:>16} {:>14} {:>11} {:>6} {:>12} {:>12} {:>14} {:>5}\n";

std::string ByX(const std::vector<int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, "x"));
}

int64_t ProductOf(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

std::string DescribeNetwork(const spec::JobSpec& spec, const InputShape& shape, Network& network) {
  std::string text = fmt::format("{} ({}), T = {}, input {}x{}x{}{}, {} classes{}\n\n",
                                 spec::ToWord(spec.network.name), spec::ToWord(spec.network.kind),
                                 spec.network.time_steps, shape.channels, shape.height, shape.width,
                                 shape.frames > 1 ? " at each time step" : "", shape.classes,
                                 SplitText(spec.data));
  text += fmt::format(kRow, "layer", "weight", "output", "weights", "kind", "float bytes",
                      "packed bytes", "operations", "times");
  int64_t weights = 0, operations = 0, binary_operations = 0;
  for (const LayerDescription& layer : network.Describe()) {
    const int64_t count = ProductOf(layer.weight_shape);
    text += fmt::format(kRow, layer.name, ByX(layer.weight_shape), ByX(layer.output_shape), count,
                        layer.binary ? "binary"
                        : layer.int8 ? "int8"
                                     : "float",
                        4 * count, layer.packed_bytes(), layer.operations, layer.repetitions);
    weights += count;
    operations += layer.operations * layer.repetitions;
    if (layer.binary) binary_operations += layer.operations * layer.repetitions;
  }
  text += fmt::format(
      "\n{} parameters: {} weights ({} binary), {} of normalisation, gates and biases\n"
      "{:.2f} MB as float32, {:.2f} MB with one bit for each binary weight\n"
      "{} bytes of tensors in a packed model: with its scales and running statistics\n"
      "{} operations a picture over all time steps, {} of them with binary weights\n",
      network.parameter_count(), weights, network.binary_weight_count(),
      network.parameter_count() - weights, static_cast<double>(network.float_bytes()) / 1e6,
      static_cast<double>(network.packed_bytes()) / 1e6,
      TensorBytesOf(PackTensors(network.State(), PackRulesOf(network, spec))), operations,
      binary_operations);
  return text;
}

}  // namespace bsnn::trainer
