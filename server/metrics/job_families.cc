#include "server/metrics/job_families.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "server/metrics/families.h"

namespace bsnn::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using telemetry::JobSample;
using telemetry::SeriesKey;
using Label = ClientMetric::Label;

/// One metric of trainers and how it is shown.
struct SeriesRow {
  std::string_view point;  ///< MetricPoint.name
  const char* metric;
  MetricType type;
  enum class Labels { kNone, kLayer, kSplit, kLayerAndTimeStep } labels;
  const char* help;
};

constexpr auto kNone = SeriesRow::Labels::kNone;
constexpr auto kLayer = SeriesRow::Labels::kLayer;
const SeriesRow kSeriesRows[] = {
    {"sign_flip_ratio", "bsnn_job_sign_flip_ratio", MetricType::Gauge, kLayer,
     "Share of a layer's binary weights whose sign differs from one epoch before; layer all pools "
     "them."},
    {"sign_flips", "bsnn_job_sign_flips_total", MetricType::Counter, kLayer,
     "Sign changes of a layer's binary weights, counted at each step."},
    {"accuracy_ratio", "bsnn_job_accuracy_ratio", MetricType::Gauge, SeriesRow::Labels::kSplit,
     "Share of pictures classified right in the newest epoch."},
    {"top5_accuracy_ratio", "bsnn_job_top5_accuracy_ratio", MetricType::Gauge,
     SeriesRow::Labels::kSplit,
     "Share of pictures whose class was among the five most likely in the newest epoch."},
    {"sign_flips_per_step", "bsnn_job_sign_flips_per_step", MetricType::Gauge, kLayer,
     "Sign changes of a layer's binary weights at a step, mean over the newest epoch."},
    {"flipped_weights_ratio", "bsnn_job_flipped_weights_ratio", MetricType::Gauge, kLayer,
     "Share of a layer's binary weights that flipped at least once since the start."},
    {"loss", "bsnn_job_loss", MetricType::Gauge, SeriesRow::Labels::kSplit, "Newest mean loss."},
    {"firing_rate", "bsnn_job_firing_rate_ratio", MetricType::Gauge, kLayer,
     "Share of a layer's neurons and time steps with a spike."},
    {"gradient_mean", "bsnn_job_gradient_mean", MetricType::Gauge, kLayer,
     "Mean of the gradient with respect to a layer's binary weights."},
    {"gradient_variance", "bsnn_job_gradient_variance", MetricType::Gauge, kLayer,
     "Variance of the gradient with respect to a layer's binary weights."},
    {"latent_gradient_mean", "bsnn_job_latent_gradient_mean", MetricType::Gauge, kLayer,
     "Mean of the gradient with respect to a layer's latent weights."},
    {"latent_gradient_variance", "bsnn_job_latent_gradient_variance", MetricType::Gauge, kLayer,
     "Variance of the gradient with respect to a layer's latent weights."},
    {"gate_mean", "bsnn_job_gate_ratio", MetricType::Gauge, kLayer,
     "Mean of a layer's AGMM gate, the sigmoid before alpha."},
    {"alpha", "bsnn_job_alpha", MetricType::Gauge, SeriesRow::Labels::kLayerAndTimeStep,
     "AGMM's learned scale of a layer at a time step."},
    {"multiply_accumulates", "bsnn_job_multiply_accumulates", MetricType::Gauge, kLayer,
     "Multiplications with accumulation to classify a picture."},
    {"accumulates", "bsnn_job_accumulates", MetricType::Gauge, kLayer,
     "Accumulations without multiplication to classify a picture, at the measured firing rates."},
    {"energy_joules", "bsnn_job_energy_joules", MetricType::Gauge, kLayer,
     "Estimated energy to classify a picture: 4.6 pJ a multiplication, 0.9 pJ an accumulation."},
    {"energy_int_add_joules", "bsnn_job_energy_int_add_joules", MetricType::Gauge, kLayer,
     "The same with 0.1 pJ an accumulation of binary weights."},
    {"packed_bytes", "bsnn_job_packed_bytes", MetricType::Gauge, kLayer,
     "Size of a layer's weights as deployed; layer all is every parameter of the network."},
    {"resident_memory_peak_bytes", "bsnn_job_resident_memory_peak_bytes", MetricType::Gauge, kNone,
     "Largest resident memory of the trainer so far."},
    {"device_memory_peak_bytes", "bsnn_job_device_memory_peak_bytes", MetricType::Gauge, kNone,
     "Largest memory of the trainer's tensors on its GPU so far."},
    {"step_seconds", "bsnn_job_step_seconds", MetricType::Gauge, kNone,
     "Time of one step, mean over the newest report interval."},
    {"data_wait_seconds", "bsnn_job_data_wait_seconds", MetricType::Gauge, kNone,
     "Time spent waiting for batches in the newest epoch."},
    {"checkpoint_stall_seconds", "bsnn_job_checkpoint_stall_seconds", MetricType::Gauge, kNone,
     "Time that training stood still for the newest checkpoint."},
    {"checkpoint_stall_ratio", "bsnn_job_checkpoint_stall_ratio", MetricType::Gauge, kNone,
     "The same as a share of the time of the steps since the checkpoint before."},
    {"checkpoint_write_seconds", "bsnn_job_checkpoint_write_seconds", MetricType::Gauge, kNone,
     "Time to write the newest checkpoint, beside training."},
};
constexpr size_t kSeriesRowCount = std::size(kSeriesRows);

/// The row that shows a series, or nothing: a series by time step only where its row has one.
std::optional<size_t> RowOf(const SeriesKey& key) {
  for (size_t i = 0; i < kSeriesRowCount; ++i) {
    const SeriesRow& row = kSeriesRows[i];
    if (row.point != key.name) continue;
    const bool has_time_step = row.labels == SeriesRow::Labels::kLayerAndTimeStep;
    return has_time_step == (key.time_step >= 0) ? std::optional(i) : std::nullopt;
  }
  return std::nullopt;
}

std::vector<Label> LabelsOf(const JobSample& job, const SeriesKey& key, const SeriesRow& row) {
  std::vector<Label> labels = {{"training_job", job.job.value()}};
  if (row.labels == SeriesRow::Labels::kNone) return labels;
  if (row.labels == SeriesRow::Labels::kSplit) {
    labels.push_back({"split", key.split});
    return labels;
  }
  labels.push_back({"layer", key.layer});
  if (row.labels == SeriesRow::Labels::kLayerAndTimeStep) {
    labels.push_back({"time_step", std::to_string(key.time_step)});
  }
  return labels;
}

bool IsLayerDetail(const SeriesKey& key) { return !key.layer.empty() && key.layer != "all"; }

}  // namespace

telemetry::Shown Classify(const SeriesKey& key) {
  if (!RowOf(key)) return telemetry::Shown::kNot;
  return IsLayerDetail(key) ? telemetry::Shown::kDetail : telemetry::Shown::kPooled;
}

JobFamilies::JobFamilies(const telemetry::Sample& sample, size_t budget,
                         std::map<std::string, HighWater>& high_water)
    : sample_(sample),
      left_(budget),
      high_water_(high_water),
      info_(Family("bsnn_job_info", MetricType::Gauge,
                   "1 for each job that is live or ended a short time ago.")),
      steps_(Family("bsnn_job_steps_total", MetricType::Counter, "Optimiser steps done.")),
      epoch_(Family("bsnn_job_epoch", MetricType::Gauge, "Pass over the data under way, from 1.")),
      progress_(
          Family("bsnn_job_progress_ratio", MetricType::Gauge, "Steps done of all steps, 0 to 1.")),
      images_(Family("bsnn_job_images_per_second", MetricType::Gauge,
                     "Training throughput of the newest progress report.")),
      last_(Family("bsnn_job_last_progress_timestamp_seconds", MetricType::Gauge,
                   "Unix time of the newest progress report.")) {
  for (const SeriesRow& row : kSeriesRows) {
    series_.push_back(Family(row.metric, row.type, row.help));
  }
}

void JobFamilies::AddAll() {
  for (const JobSample& job : sample_.jobs) AddSummary(job);
  for (const bool detail : {false, true}) {
    for (const JobSample& job : sample_.jobs) AddSeries(job, detail);
  }
}

void JobFamilies::MoveTo(std::vector<MetricFamily>& families) {
  for (MetricFamily* family : {&info_, &steps_, &epoch_, &progress_, &images_, &last_}) {
    families.push_back(std::move(*family));
  }
  for (MetricFamily& family : series_) families.push_back(std::move(family));
}

bool JobFamilies::Take() {
  if (left_ == 0) {
    ++dropped_;
    return false;
  }
  --left_;
  return true;
}

void JobFamilies::AddTo(MetricFamily& family, const JobSample& job, double value) {
  if (Take()) Add(family, {{"training_job", job.job.value()}}, value);
}

void JobFamilies::AddSummary(const JobSample& job) {
  if (Take()) {
    Add(info_, {{"training_job", job.job.value()}, {"display_name", job.display_name}}, 1);
  }
  const auto& progress = job.progress;
  if (progress.update_time == absl::InfinitePast()) return;
  double& steps = high_water_[job.job.value()].steps;
  steps = std::max(steps, static_cast<double>(progress.step));
  AddTo(steps_, job, steps);
  AddTo(epoch_, job, progress.epoch);
  AddTo(images_, job, progress.images_per_second);
  AddTo(last_, job, absl::ToDoubleSeconds(progress.update_time - absl::UnixEpoch()));
  if (progress.steps_total > 0) {
    AddTo(progress_, job,
          static_cast<double>(progress.step) / static_cast<double>(progress.steps_total));
  }
}

void JobFamilies::AddSeries(const JobSample& job, bool detail) {
  for (const telemetry::SeriesSample& item : job.series) {
    const SeriesKey& key = *item.key;
    if (IsLayerDetail(key) != detail) continue;
    const std::optional<size_t> row = RowOf(key);
    if (!row || !Take()) continue;
    double value = item.value;
    if (kSeriesRows[*row].type == MetricType::Counter) {
      double& most = high_water_[job.job.value()].series[item.key];
      value = most = std::max(most, value);
    }
    Add(series_[*row], LabelsOf(job, key, kSeriesRows[*row]), value);
  }
}

}  // namespace bsnn::metrics
