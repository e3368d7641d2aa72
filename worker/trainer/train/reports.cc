// What a Trainer says of itself: its start, its progress and each epoch's measurements.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/logging.h"
#include "worker/trainer/measure/memory.h"
#include "worker/trainer/nn/spike_conv.h"
#include "worker/trainer/train/trainer.h"

namespace bsnn::trainer {
namespace {

std::string Duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  return whole < 60 ? fmt::format("{} s", whole)
                    : fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

std::string Bar(double ratio) {
  std::string bar;
  for (int i = 0; i < 30; ++i) bar += i < ratio * 30 ? "█" : "░";
  return bar;
}

/// What takes the products of gradients.
std::string_view ProductsText(const RunOptions& options) {
  if (options.device.is_cuda()) return "cuda";
  const auto unit = ProductUnitFor(options.spec.training.products);
  return unit == kernels::ProductUnit::kAmx ? "amx" : "tables";
}

}  // namespace

void Trainer::ReportStart() {
  events_.Write(spec::Started{options_.device.str(), at::get_num_threads(),
                              network_->parameter_count(), network_->binary_weight_count(),
                              run_.steps_per_epoch, steps_total(), step()});
  events_.Log(
      spec::Severity::kInfo,
      fmt::format("network={} kind={} time_steps={} parameters={} binary_weights={} data={}{} "
                  "train_pictures={} test_pictures={} steps_total={} device={} threads={} "
                  "products={} ranks={}",
                  spec::ToWord(options_.spec.network.name),
                  spec::ToWord(options_.spec.network.kind), options_.spec.network.time_steps,
                  network_->parameter_count(), network_->binary_weight_count(),
                  spec::ToWord(options_.spec.data.name), SplitText(options_.spec.data),
                  train_->size(), test_->size(), steps_total(), options_.device.str(),
                  at::get_num_threads(), ProductsText(options_), rank_count()));
}

void Trainer::ReportProgress() {
  const at::Tensor on_cpu = sums_.cpu();  // waits for the device, so that the time is the work's
  const double* const sums = on_cpu.const_data_ptr<double>();
  const absl::Duration now = clock_.Steady();
  const double seconds = absl::ToDoubleSeconds(now - report_time_);
  const int64_t steps = step() - report_step_;
  if (steps > 0 && seconds > 0) seconds_per_step_ = seconds / static_cast<double>(steps);
  report_time_ = now;
  report_step_ = step();

  const double loss = sums[kReportLoss] / std::max(1.0, sums[kReportSteps]);
  sums_.slice(0, kReportLoss).zero_();
  const double rate =
      seconds_per_step_ > 0 ? options_.spec.training.batch_size / seconds_per_step_ : 0;
  const int64_t epochs_left = run_.epochs - (step() - 1) / run_.steps_per_epoch;
  const double eta = seconds_per_step_ * static_cast<double>(steps_total() - step()) +
                     absl::ToDoubleSeconds(evaluation_time_) * static_cast<double>(epochs_left);
  Metric("loss", loss, "", "train");
  Metric("learning_rate", LearningRate(options_.spec, run_, step() - 1));
  events_.Write(
      spec::Progress{step(), steps_total(), epoch(), static_cast<int32_t>(run_.epochs), rate, eta});
  if (first() && isatty(STDERR_FILENO) != 0) {
    const double ratio = static_cast<double>(step()) / static_cast<double>(steps_total());
    fmt::print(stderr, "\r\033[K{} {:5.1f} %  epoch {}/{}  loss {:.4f}  {:.0f} images/s  {} left",
               Bar(ratio), 100 * ratio, epoch(), run_.epochs, loss, rate, Duration(eta));
    std::fflush(stderr);
  }
  if (loss != loss)
    events_.Log(spec::Severity::kWarning, fmt::format("loss is NaN at step {}", step()));
}

void Trainer::ReportEpoch(const Evaluation& evaluation) {
  const at::Tensor on_cpu = sums_.cpu();
  const double* const sums = on_cpu.const_data_ptr<double>();
  const double pictures = std::max(1.0, sums[kEpochPictures]);
  Metric("loss", sums[kEpochLoss] / pictures, "", "train");
  Metric("accuracy_ratio", sums[kEpochCorrect] / pictures, "", "train");
  const at::Tensor top5_on_cpu = top5_.cpu();
  const int64_t* const top5 = top5_on_cpu.const_data_ptr<int64_t>();
  Metric("top5_accuracy_ratio", static_cast<double>(top5[0]) / static_cast<double>(top5[1]), "",
         "train");
  Metric("loss", evaluation.loss, "", "test");
  Metric("accuracy_ratio", evaluation.accuracy_ratio(), "", "test");
  Metric("top5_accuracy_ratio", evaluation.top5_accuracy_ratio(), "", "test");
  double pooled = 0;
  for (const LayerFlips& flips : flips_.Counts()) {
    Metric("sign_flip_ratio", flips.FlipRatio(), flips.layer);
    Metric("sign_flips", static_cast<double>(flips.step_flips_total), flips.layer);
    Metric("sign_flips_per_step", flips.flips_per_step, flips.layer);
    Metric("flipped_weights_ratio", flips.FlippedWeightsRatio(), flips.layer);
    pooled = flips.FlipRatio();
  }
  for (const GradientMoments& moments : gradients_.Moments()) {
    Metric("gradient_mean", moments.mean, moments.layer);
    Metric("gradient_variance", moments.variance, moments.layer);
    Metric("latent_gradient_mean", moments.latent_mean, moments.layer);
    Metric("latent_gradient_variance", moments.latent_variance, moments.layer);
  }
  ReportActivity();
  ReportCosts();
  Metric("step_seconds", seconds_per_step_);
  Metric("images_per_second",
         seconds_per_step_ > 0 ? options_.spec.training.batch_size / seconds_per_step_ : 0);
  Metric("data_wait_seconds", absl::ToDoubleSeconds(data_wait_));
  if (first() && isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K");
  events_.Log(
      spec::Severity::kInfo,
      fmt::format("epoch={}/{} test_accuracy={:.4f} train_loss={:.4f} sign_flip_ratio={:.5f}{}",
                  epoch(), run_.epochs, evaluation.accuracy_ratio(), sums[kEpochLoss] / pictures,
                  pooled, SplitText(options_.spec.data)));
}

void Trainer::ReportActivity() {
  const bool gated = options_.spec.network.kind == spec::NetworkKind::kBsnnAgmm;
  for (const LayerActivity& activity : network_->Activity()) {
    double mean = 0;
    for (size_t t = 0; t < activity.firing_rate.size(); ++t) {
      Metric("firing_rate", activity.firing_rate[t], activity.layer, "", static_cast<int32_t>(t));
      mean += activity.firing_rate[t] / static_cast<double>(activity.firing_rate.size());
    }
    if (!activity.firing_rate.empty()) Metric("firing_rate", mean, activity.layer);
    if (gated && (activity.layer == "all" || !activity.alpha.empty()))
      Metric("gate_mean", activity.gate_mean, activity.layer);
    for (size_t t = 0; t < activity.alpha.size(); ++t) {
      Metric("alpha", activity.alpha[t], activity.layer, "", static_cast<int32_t>(t));
    }
  }
}

void Trainer::ReportCosts() {
  for (const LayerEnergy& energy :
       EstimateEnergy(layers_, network_->InputMeans(layers_), options_.spec.network.time_steps)) {
    Metric("multiply_accumulates", energy.multiply_accumulates, energy.layer);
    Metric("accumulates", energy.accumulates, energy.layer);
    Metric("energy_joules", energy.joules, energy.layer);
    Metric("energy_int_add_joules", energy.int_add_joules, energy.layer);
  }
  for (const LayerDescription& layer : layers_) {
    Metric("packed_bytes", static_cast<double>(layer.packed_bytes()), layer.name);
  }
  Metric("packed_bytes", static_cast<double>(network_->packed_bytes()), "all");
  Metric("float_bytes", static_cast<double>(network_->float_bytes()), "all");
  if (const auto bytes = PeakResidentBytes()) {
    Metric("resident_memory_peak_bytes", static_cast<double>(*bytes));
  }
  if (const auto bytes = PeakDeviceBytes(options_.device)) {
    Metric("device_memory_peak_bytes", static_cast<double>(*bytes));
  }
}

}  // namespace bsnn::trainer
