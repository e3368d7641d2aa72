/// What the measurements that every run takes, and AGMM's gate, add to a training step: steps with
/// and without, in pairs, the order alternating, so that the machine's other work hits both alike.
#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <memory>

#include "tests/bench/median.h"
#include "worker/trainer/measure/energy.h"
#include "worker/trainer/measure/flips.h"
#include "worker/trainer/measure/gradients.h"
#include "worker/trainer/model/network.h"
#include "worker/trainer/nn/loss.h"
#include "worker/trainer/nn/threads.h"
#include "worker/trainer/optim/optimizer.h"

namespace bsnn::trainer {
namespace {

constexpr double kMeasuringGoal = 0.01, kGateGoal = 0.03;

struct Options {
  std::string network = "bireal_resnet8";
  int64_t batch = 64, side = 32;
  int32_t time_steps = 2;
  int pairs = 30, threads = 0;
  std::vector<std::string> shares = {"measuring", "gate"};
};

double Seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Of one call: elapsed, and of all cores.
struct Cost {
  double wall = 0, cpu = 0;
};

Cost Measure(const std::function<void()>& call) {
  const double wall = Seconds(CLOCK_MONOTONIC), cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
  call();
  return {Seconds(CLOCK_MONOTONIC) - wall, Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu};
}

/// Median and quartiles of `values`.
std::string Quartiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return fmt::format("median {:.4f}, quartiles {:.4f} to {:.4f}", at(0.5), at(0.25), at(0.75));
}

/// As Trainer::Step, with and without what it measures.
class Steps {
 public:
  Steps(const spec::JobSpec& spec, const InputShape& shape, int64_t batch)
      : spec_(spec),
        network_(Network::Make(spec, shape).value()),
        optimizer_(Optimizer::Make(spec.optimizer, network_->parameters())),
        flips_(network_->weight_layers()),
        gradients_(network_->weight_layers()),
        images_(at::randn({batch, shape.channels, shape.height, shape.width})),
        labels_(at::randint(shape.classes, {batch}, at::kLong)) {}

  void Train(bool measured) {
    network_->KeepGradients(measured);
    network_->CountActivity(measured);
    const at::Tensor logits = network_->Forward(images_);
    const at::Tensor loss = Loss(spec_.loss, logits, labels_);
    loss.backward();
    if (measured) gradients_.Observe(network_->Gradients());
    optimizer_->Step(0.01);
    if (measured) {
      flips_.ObserveStep();
      CountCorrect(logits, labels_);
    }
    loss.item<double>();
  }

  void Evaluate(bool measured) {
    network_->CountActivity(false);
    network_->MeasureInputs(measured);
    network_->SetTraining(false);
    const c10::InferenceMode no_gradients;
    network_->Forward(images_);
    network_->MeasureInputs(false);
    network_->SetTraining(true);
  }

  void EndEpoch() {
    flips_.Counts();
    gradients_.Moments();
    network_->Activity();
    const std::vector<LayerDescription> layers = network_->Describe();
    EstimateEnergy(layers, network_->InputMeans(layers), spec_.network.time_steps);
    flips_.StartEpoch();
    gradients_.Reset();
    network_->ResetActivity();
  }

 private:
  const spec::JobSpec spec_;
  const std::unique_ptr<Network> network_;
  const std::unique_ptr<Optimizer> optimizer_;
  FlipMeter flips_;
  GradientMeter gradients_;
  const at::Tensor images_, labels_;
};

/// Prints what measuring adds. Returns the median share by wall time.
double Compare(const char* what, int pairs, const std::function<void(bool)>& call) {
  std::vector<double> wall, cpu, seconds;
  for (const bool measured : {false, true, false, true}) call(measured);  // warm
  for (int pair = 0; pair < pairs; ++pair) {
    Cost on, off;
    for (const bool measured : {pair % 2 == 0, pair % 2 != 0}) {
      (measured ? on : off) = Measure([&] { call(measured); });
    }
    wall.push_back(on.wall / off.wall);
    cpu.push_back(on.cpu / off.cpu);
    seconds.push_back(off.wall);
  }
  fmt::print("{}: {:.4f} s without, {} pairs\n", what, Median(seconds), pairs);
  fmt::print("  with/without, elapsed time:  {}\n", Quartiles(wall));
  fmt::print("  with/without, CPU time:      {}\n", Quartiles(cpu));
  return Median(wall) - 1;
}

/// What `kind` trains.
spec::JobSpec SpecOf(const Options& options, const char* kind) {
  const auto spec = spec::ParseJobSpec(fmt::format(
      R"({{"network": {{"name": "{}", "kind": "{}", "time_steps": {}}}, "data": {{"name": "cifar10"}}}})",
      options.network, kind, options.time_steps));
  if (spec.ok()) return *spec;
  fmt::print(stderr, "step_shares_bench: {}\n", std::string(spec.status().message()));
  std::exit(2);
}

void Judge(const char* what, double share, double goal) {
  fmt::print("{} adds {:.2f} % to a step; goal at most {:.0f} %: {}\n", what, 100 * share,
             100 * goal, share <= goal ? "met" : "missed");
}

void CompareMeasuring(const Options& options, const InputShape& shape) {
  Steps steps(SpecOf(options, "bsnn_agmm"), shape, options.batch);
  const double share =
      Compare("training step", options.pairs, [&](bool measured) { steps.Train(measured); });
  Compare("evaluation batch", options.pairs, [&](bool measured) { steps.Evaluate(measured); });
  fmt::print("end of an epoch: {:.4f} s\n", Measure([&] { steps.EndEpoch(); }).wall);
  Judge("measuring", share, kMeasuringGoal);
}

void CompareGate(const Options& options, const InputShape& shape) {
  Steps gated(SpecOf(options, "bsnn_agmm"), shape, options.batch);
  Steps plain(SpecOf(options, "bsnn"), shape, options.batch);
  Judge("the gate",
        Compare("training step without the gate", options.pairs,
                [&](bool gate) { (gate ? gated : plain).Train(true); }),
        kGateGoal);
}

int Main(const Options& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  const InputShape shape{3, options.side, options.side, 10};
  fmt::print("{} at {}x{}, batch {}, T = {}, {} threads\n", options.network, options.side,
             options.side, options.batch, options.time_steps, at::get_num_threads());
  for (const std::string& share : options.shares) {
    share == "gate" ? CompareGate(options, shape) : CompareMeasuring(options, shape);
  }
  return 0;
}

}  // namespace
}  // namespace bsnn::trainer

int main(int argc, char** argv) {
  bsnn::trainer::RestartWithTunedRuntime(argv);
  bsnn::trainer::Options options;
  CLI::App app{"step_shares_bench: what measuring and the gate add to a training step"};
  app.add_option("--network", options.network, "As network.name")->capture_default_str();
  app.add_option("--batch", options.batch, "Pictures a step")->capture_default_str();
  app.add_option("--side", options.side, "Pixels of a side")->capture_default_str();
  app.add_option("--time-steps", options.time_steps, "T")->capture_default_str();
  app.add_option("--pairs", options.pairs, "Steps with and without")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--threads", options.threads, "0 is LibTorch's choice")->capture_default_str();
  app.add_option("--shares", options.shares, "measuring, gate")
      ->capture_default_str()
      ->check(CLI::IsMember({"measuring", "gate"}));
  app.footer("Example: step_shares_bench --shares gate --pairs 300");
  CLI11_PARSE(app, argc, argv);
  return bsnn::trainer::Main(options);
}
