/// The backward products of binary convolutions by tables and by the processor's matrix unit, in
/// turns: 16 pictures at a time on one thread, as training has them. Once back to back, and once
/// each after a pass over memory, as in a training step: a processor may take a millisecond to
/// return to speed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <random>
#include <vector>

#include "tests/bench/median.h"
#include "worker/trainer/nn/kernels/amx.h"
#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/kernels/lanes.h"

namespace bsnn::trainer::kernels {
namespace {

struct Options {
  int rounds = 30;
  int64_t memory_mib = 32;
  bool bf16 = false;
};

/// One layer's operands, and its products by either way.
class Layer {
 public:
  Layer(const BinaryConvShape& shape, uint32_t seed)
      : s_(shape),
        weights_(shape),
        bits_(static_cast<size_t>(shape.bit_bytes())),
        grad_y_(shape.pictures * shape.out_pixels() * shape.out),
        grad_x_(shape.pictures * shape.height * shape.width * shape.in),
        sums_(PlanGradWeight(shape, 1).share_size) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> weight(static_cast<size_t>(s_.out * s_.in * s_.taps()));
    for (float& w : weight) w = normal(random) > 0 ? 1.0f : -1.0f;
    PackBinaryWeights(s_, weight.data(), weights_, 0, (s_.out + kOutputBlock - 1) / kOutputBlock);
    for (uint8_t& byte : bits_) byte = static_cast<uint8_t>(random() & random());
    for (int64_t i = 0; i < s_.pictures * s_.out_pixels() * s_.out; ++i)
      grad_y_[i] = normal(random);
    std::fill_n(sums_.get(), PlanGradWeight(s_, 1).share_size, 0.0f);
  }

  void GradInput(ProductUnit unit) {
    s_.unit = unit;
    RunBinaryConvGradInput(s_, weights_, grad_y_.get(), grad_x_.get(), 0, GradInputUnits(s_));
  }
  void GradWeight(ProductUnit unit) {
    s_.unit = unit;
    AddBinaryConvGradWeight(s_, bits_.data(), grad_y_.get(), sums_.get());
  }
  double products() const {
    return static_cast<double>(s_.pictures * s_.out_pixels() * s_.out * s_.in * s_.taps());
  }

 private:
  BinaryConvShape s_;
  BinaryWeights weights_;
  std::vector<uint8_t> bits_;
  Scratch<float> grad_y_, grad_x_, sums_;
};

/// Median seconds of `call`, each after `before`.
double Seconds(int rounds, const std::function<void()>& before, const std::function<void()>& call) {
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    before();
    const auto start = std::chrono::steady_clock::now();
    call();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return Median(seconds);
}

void Compare(const char* what, const Options& options, double products,
             const std::function<void()>& before, const std::function<void(ProductUnit)>& call) {
  const double tables = Seconds(options.rounds, before, [&] { call(ProductUnit::kTables); });
  fmt::print("    {:24} tables {:6.0f} us ({:4.0f} G/s)", what, 1e6 * tables,
             1e-9 * products / tables);
  if (AmxWorks()) {
    const double tiles = Seconds(options.rounds, before, [&] { call(ProductUnit::kAmx); });
    fmt::print("   AMX {:6.0f} us ({:4.0f} G/s)   ratio {:.2f}", 1e6 * tiles,
               1e-9 * products / tiles, tables / tiles);
  }
  fmt::print("\n");
}

int Main(const Options& options) {
  fmt::print("16 pictures, one thread, medians of {}; G/s: 10^9 products a second. {}\n",
             options.rounds, AmxWorks() ? "AMX works here" : "no AMX here: tables only");
  std::vector<float> memory(static_cast<size_t>(options.memory_mib) << 18, 1.0f);
  const auto nothing = [] {};
  const auto pass = [&] {
    for (float& number : memory) number = number * 0.999f + 0.001f;
  };
  struct Size {
    int64_t side, in, out, stride;
  };
  for (const Size& size :
       {Size{32, 32, 32, 1}, Size{32, 32, 64, 2}, Size{16, 64, 64, 1}, Size{8, 128, 128, 1},
        Size{32, 64, 64, 1}, Size{16, 128, 128, 1}, Size{8, 256, 256, 1}, Size{4, 512, 512, 1}}) {
    Layer layer({.pictures = 16,
                 .height = size.side,
                 .width = size.side,
                 .in = size.in,
                 .out = size.out,
                 .stride = size.stride,
                 .bf16 = options.bf16},
                1);
    fmt::print("  {0}x{0}, {1} to {2} channels, stride {3}\n", size.side, size.in, size.out,
               size.stride);
    const auto grad_input = [&](ProductUnit unit) { layer.GradInput(unit); };
    const auto grad_weight = [&](ProductUnit unit) { layer.GradWeight(unit); };
    Compare("dL/dx", options, layer.products(), nothing, grad_input);
    Compare("dL/dx after memory", options, layer.products(), pass, grad_input);
    Compare("dL/dweight", options, layer.products(), nothing, grad_weight);
    Compare("dL/dweight after memory", options, layer.products(), pass, grad_weight);
  }
  return 0;
}

}  // namespace
}  // namespace bsnn::trainer::kernels

int main(int argc, char** argv) {
  bsnn::trainer::kernels::Options options;
  CLI::App app{"Backward products by tables and by the processor's matrix unit"};
  app.footer("Example: taskset -c 0 products_bench --rounds 50");
  app.add_option("--rounds", options.rounds, "runs of each")->check(CLI::Range(1, 10000));
  app.add_option("--memory", options.memory_mib, "MiB that the pass between runs goes over")
      ->check(CLI::Range(1, 4096));
  app.add_flag("--bf16", options.bf16, "as with training.precision bf16");
  CLI11_PARSE(app, argc, argv);
  return bsnn::trainer::kernels::Main(options);
}
