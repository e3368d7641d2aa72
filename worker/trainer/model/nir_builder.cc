#include "worker/trainer/model/nir_builder.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

#include "base/fault.h"

namespace bsnn::trainer {
namespace {

NirFloats FloatsOf(const at::Tensor& tensor) {
  const at::Tensor t = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  const float* const values = t.const_data_ptr<float>();
  return {{t.sizes().begin(), t.sizes().end()}, {values, values + t.numel()}};
}

NirFloats Constant(const std::array<int64_t, 3>& shape, double value) {
  const auto count = static_cast<size_t>(shape[0] * shape[1] * shape[2]);
  return {{shape.begin(), shape.end()}, std::vector<float>(count, static_cast<float>(value))};
}

/// Sides behind a window.
std::array<int64_t, 3> Shrink(const std::array<int64_t, 3>& shape, int64_t channels,
                              std::array<int64_t, 2> kernel, std::array<int64_t, 2> stride,
                              int64_t padding) {
  return {channels, (shape[1] + 2 * padding - kernel[0]) / stride[0] + 1,
          (shape[2] + 2 * padding - kernel[1]) / stride[1] + 1};
}

}  // namespace

NirBuilder::NirBuilder(const spec::NeuronSpec& neuron) : neuron_(neuron) {
  if (neuron.reset == spec::Reset::kSoft) {
    Refuse("neuron.reset", "soft", "hard: NIR's neurons are set to v_reset, not lowered");
  }
}

void NirBuilder::Refuse(const std::string& field, const std::string& value,
                        const std::string& allowed) {
  status_.Update(base::InvalidFields({{field, value, allowed}}));
}

NirWire NirBuilder::AddNode(const std::string& name, std::string type, NirFields fields,
                            const NirWire& x, const std::array<int64_t, 3>& shape) {
  std::string node = name;
  std::replace(node.begin(), node.end(), '.', '_');
  for (const std::string& from : x.from) graph_.edges.emplace_back(from, node);
  graph_.nodes.push_back({node, std::move(type), std::move(fields)});
  return {{node}, shape};
}

NirWire NirBuilder::Input(const InputShape& shape) {
  const std::vector<int64_t> sides = {shape.channels, shape.height, shape.width};
  return AddNode("input", "Input", {{"shape", sides}}, {}, {sides[0], sides[1], sides[2]});
}

NirWire NirBuilder::Conv(const std::string& name, const NirWire& x, const at::Tensor& weight,
                         const BatchNorm& norm, int64_t stride) {
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kCPU, at::kDouble); };
  const at::Tensor gain = wide(norm.weight) / (wide(norm.running_var) + kNormEpsilon).sqrt();
  const at::Tensor bias = wide(norm.bias) - wide(norm.running_mean) * gain;
  const int64_t kernel = weight.size(2), padding = kernel / 2;
  using Pair = std::vector<int64_t>;
  return AddNode(name, "Conv2d",
                 {{"input_shape", Pair{x.shape[1], x.shape[2]}},
                  {"weight", FloatsOf(wide(weight) * gain.view({-1, 1, 1, 1}))},
                  {"stride", Pair{stride, stride}},
                  {"padding", Pair{padding, padding}},
                  {"dilation", Pair{1, 1}},
                  {"groups", int64_t{1}},
                  {"bias", FloatsOf(bias)}},
                 x, Shrink(x.shape, weight.size(0), {kernel, kernel}, {stride, stride}, padding));
}

NirWire NirBuilder::Neurons(const std::string& name, const NirWire& x) {
  const double left = 1 - neuron_.decay;
  NirFields fields = {{"v_threshold", Constant(x.shape, neuron_.threshold)},
                      {"v_reset", Constant(x.shape, 0)}};
  if (left == 0) {
    fields.emplace_back("r", Constant(x.shape, 1 / kStepSeconds));
    return AddNode(name, "IF", std::move(fields), x, x.shape);
  }
  fields.emplace_back("tau", Constant(x.shape, kStepSeconds / left));
  fields.emplace_back("r", Constant(x.shape, 1 / left));
  fields.emplace_back("v_leak", Constant(x.shape, 0));
  return AddNode(name, "LIF", std::move(fields), x, x.shape);
}

NirWire NirBuilder::MaxPool(const std::string& name, const NirWire& spikes, int64_t kernel,
                            int64_t stride, int64_t padding) {
  using Pair = std::vector<int64_t>;
  const auto shape =
      Shrink(spikes.shape, spikes.shape[0], {kernel, kernel}, {stride, stride}, padding);
  const NirWire sum = AddNode(name + ".sum", "SumPool2d",
                              {{"kernel_size", Pair{kernel, kernel}},
                               {"stride", Pair{stride, stride}},
                               {"padding", Pair{padding, padding}}},
                              spikes, shape);
  return AddNode(name, "Threshold", {{"threshold", Constant(shape, 0.5)}}, sum, shape);
}

NirWire NirBuilder::AvgPool(const std::string& name, const NirWire& x, int64_t height,
                            int64_t width, bool rounds_up) {
  if (height == 1 && width == 1) return x;
  if (rounds_up && (x.shape[1] % height != 0 || x.shape[2] % width != 0)) {
    Refuse("input", std::to_string(x.shape[1]) + "x" + std::to_string(x.shape[2]) + " at " + name,
           "even sides: NIR's average pooling does not round up");
  }
  using Pair = std::vector<int64_t>;
  return AddNode(name, "AvgPool2d",
                 {{"kernel_size", Pair{height, width}},
                  {"stride", Pair{height, width}},
                  {"padding", Pair{0, 0}}},
                 x, Shrink(x.shape, x.shape[0], {height, width}, {height, width}, 0));
}

NirWire NirBuilder::Add(const NirWire& a, const NirWire& b) {
  NirWire sum = a;
  sum.from.insert(sum.from.end(), b.from.begin(), b.from.end());
  return sum;
}

void NirBuilder::Classify(const NirWire& x, const at::Tensor& weight, const at::Tensor& bias) {
  const NirWire flat =
      AddNode("flatten", "Flatten",
              {{"start_dim", int64_t{0}},
               {"end_dim", int64_t{-1}},
               {"input_type", std::vector<int64_t>(x.shape.begin(), x.shape.end())}},
              x, {weight.size(1), 1, 1});
  const NirWire classes =
      AddNode("fc", "Affine", {{"weight", FloatsOf(weight)}, {"bias", FloatsOf(bias)}}, flat,
              {weight.size(0), 1, 1});
  AddNode("output", "Output", {{"shape", std::vector<int64_t>{weight.size(0)}}}, classes,
          classes.shape);
}

absl::StatusOr<NirGraph> NirBuilder::Finish() {
  if (!status_.ok()) return status_;
  return std::move(graph_);
}

}  // namespace bsnn::trainer
