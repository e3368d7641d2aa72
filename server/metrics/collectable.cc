#include "server/metrics/collectable.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

namespace bsnn::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using telemetry::JobSample;
using telemetry::SeriesKey;
using Label = ClientMetric::Label;

std::string Lower(std::string_view word) {
  std::string text(word);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

MetricFamily Family(std::string name, MetricType type, std::string help) {
  return {std::move(name), std::move(help), type, {}};
}

void Add(MetricFamily& family, std::vector<Label> labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (family.type == MetricType::Counter) metric.counter.value = value;
  if (family.type == MetricType::Gauge) metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

MetricFamily Single(std::string name, MetricType type, std::string help, double value) {
  MetricFamily family = Family(std::move(name), type, std::move(help));
  Add(family, {}, value);
  return family;
}

// ---- Series of jobs ------------------------------------------------------------------------

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

/// Families of jobs under construction, within the budget.
class JobFamilies {
 public:
  JobFamilies(const telemetry::Sample& sample, size_t budget,
              std::map<std::string, HighWater>& high_water)
      : sample_(sample), left_(budget), high_water_(high_water) {
    for (const SeriesRow& row : kSeriesRows) {
      series_.push_back(Family(row.metric, row.type, row.help));
    }
  }

  void AddAll() {
    for (const JobSample& job : sample_.jobs) AddSummary(job);
    for (const bool detail : {false, true}) {
      for (const JobSample& job : sample_.jobs) AddSeries(job, detail);
    }
  }

  int64_t dropped() const { return dropped_; }

  void MoveTo(std::vector<MetricFamily>& families) {
    for (MetricFamily* family : {&info_, &steps_, &epoch_, &progress_, &images_, &last_}) {
      families.push_back(std::move(*family));
    }
    for (MetricFamily& family : series_) families.push_back(std::move(family));
  }

 private:
  bool Take() {
    if (left_ == 0) {
      ++dropped_;
      return false;
    }
    --left_;
    return true;
  }

  void AddTo(MetricFamily& family, const JobSample& job, double value) {
    if (Take()) Add(family, {{"training_job", job.job.value()}}, value);
  }

  void AddSummary(const JobSample& job) {
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

  void AddSeries(const JobSample& job, bool detail) {
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

  const telemetry::Sample& sample_;
  size_t left_;
  std::map<std::string, HighWater>& high_water_;
  int64_t dropped_ = 0;
  MetricFamily info_ = Family("bsnn_job_info", MetricType::Gauge,
                              "1 for each job that is live or ended a short time ago.");
  MetricFamily steps_ =
      Family("bsnn_job_steps_total", MetricType::Counter, "Optimiser steps done.");
  MetricFamily epoch_ =
      Family("bsnn_job_epoch", MetricType::Gauge, "Pass over the data under way, from 1.");
  MetricFamily progress_ =
      Family("bsnn_job_progress_ratio", MetricType::Gauge, "Steps done of all steps, 0 to 1.");
  MetricFamily images_ = Family("bsnn_job_images_per_second", MetricType::Gauge,
                                "Training throughput of the newest progress report.");
  MetricFamily last_ = Family("bsnn_job_last_progress_timestamp_seconds", MetricType::Gauge,
                              "Unix time of the newest progress report.");
  std::vector<MetricFamily> series_;
};

// ---- The coordinator -----------------------------------------------------------------------

constexpr store::JobState kStatesShown[] = {
    store::JobState::kQueued,     store::JobState::kStarting,  store::JobState::kRunning,
    store::JobState::kCancelling, store::JobState::kSucceeded, store::JobState::kFailed,
    store::JobState::kCancelled,  store::JobState::kExpired};
constexpr store::FailureClass kRestartReasons[] = {
    store::FailureClass::kWorkerLost, store::FailureClass::kInfrastructure,
    store::FailureClass::kHang, store::FailureClass::kDataUnavailable};

using scheduler::PendingReason;
constexpr std::pair<PendingReason, const char*> kPendingReasonsShown[] = {
    {PendingReason::kNoSuchDevice, "no_such_device"},
    {PendingReason::kBackOff, "back_off"},
    {PendingReason::kNoWorkerOnline, "no_worker_online"},
    {PendingReason::kWaitingForSlots, "waiting_for_slots"},
    {PendingReason::kNotEvaluated, "not_evaluated"}};
// By WorkerState, from 1.
constexpr const char* kWorkerStates[] = {"", "online", "draining", "lost", "silent", "suspect"};
static_assert(std::size(kWorkerStates) == std::size(decltype(scheduler::Snapshot::workers){}));

void AddQueueFamilies(const scheduler::Snapshot& snapshot, std::vector<MetricFamily>& families) {
  MetricFamily jobs = Family("bsnn_jobs", MetricType::Gauge, "Jobs kept, by state.");
  MetricFamily transitions = Family("bsnn_job_transitions_total", MetricType::Counter,
                                    "Changes of a job's state, by the state entered.");
  for (const store::JobState state : kStatesShown) {
    const auto index = static_cast<size_t>(state);
    const std::string word = Lower(scheduler::ToWord(state));
    Add(jobs, {{"state", word}}, static_cast<double>(snapshot.jobs[index]));
    Add(transitions, {{"to", word}}, static_cast<double>(snapshot.counters.transitions[index]));
  }
  MetricFamily queued = Family("bsnn_queued_jobs", MetricType::Gauge,
                               "Queued jobs, by the reason for which they wait.");
  for (const auto& [reason, word] : kPendingReasonsShown) {
    Add(queued, {{"reason", word}},
        static_cast<double>(snapshot.queued[static_cast<size_t>(reason)]));
  }
  MetricFamily restarts = Family("bsnn_job_restarts_total", MetricType::Counter,
                                 "Attempts that were followed by a restart, by what ended them.");
  for (const store::FailureClass reason : kRestartReasons) {
    Add(restarts, {{"reason", Lower(scheduler::ToWord(reason))}},
        static_cast<double>(snapshot.counters.restarts[static_cast<size_t>(reason)]));
  }
  MetricFamily waits = Family("bsnn_queue_wait_seconds", MetricType::Summary,
                              "Time from being ready in the queue to placement.");
  ClientMetric wait;
  wait.summary.sample_count = static_cast<uint64_t>(snapshot.counters.queue_waits);
  wait.summary.sample_sum = snapshot.counters.queue_wait_seconds;
  waits.metric.push_back(wait);
  for (MetricFamily* family : {&jobs, &transitions, &queued, &restarts, &waits}) {
    families.push_back(std::move(*family));
  }
}

void AddWorkerFamilies(const ServiceSample& sample, std::vector<MetricFamily>& families) {
  const scheduler::Snapshot& snapshot = sample.snapshot;
  MetricFamily workers = Family("bsnn_workers", MetricType::Gauge, "Workers, by state.");
  for (size_t i = 1; i < std::size(kWorkerStates); ++i) {
    Add(workers, {{"state", kWorkerStates[i]}}, static_cast<double>(snapshot.workers[i]));
  }
  MetricFamily slots =
      Family("bsnn_slots", MetricType::Gauge, "Slots of workers that are not lost.");
  for (const spec::Device device : {spec::Device::kCpu, spec::Device::kCuda}) {
    const auto index = static_cast<size_t>(device);
    const std::string word(spec::ToWord(device));
    const auto used = static_cast<double>(snapshot.slots_used[index]);
    Add(slots, {{"device", word}, {"state", "used"}}, used);
    Add(slots, {{"device", word}, {"state", "free"}},
        static_cast<double>(snapshot.slots[index]) - used);
  }
  MetricFamily age = Family("bsnn_worker_heartbeat_age_seconds", MetricType::Gauge,
                            "Longest silence of a worker that is not lost; 0 without workers.");
  Add(age, {}, std::max(0.0, snapshot.heartbeat_age_seconds_max));
  for (MetricFamily* family : {&workers, &slots, &age}) families.push_back(std::move(*family));
  families.push_back(Single("bsnn_worker_leases_expired_total", MetricType::Counter,
                            "Workers that were silent for longer than their lease.",
                            static_cast<double>(snapshot.counters.leases_expired)));
}

void AddIntakeFamilies(const ServiceSample& sample, std::vector<MetricFamily>& families) {
  const auto counter = [&](const char* name, const char* help, int64_t value) {
    families.push_back(Single(name, MetricType::Counter, help, static_cast<double>(value)));
  };
  const scheduler::Counters& c = sample.snapshot.counters;
  counter("bsnn_events_total", "Trainer events taken; repeats are not counted.", c.events);
  counter("bsnn_events_fenced_total", "Batches of events refused for an old attempt.",
          c.events_fenced);
  counter("bsnn_metric_points_total", "Metric points taken into histories.", c.metric_points);
  counter("bsnn_metric_points_dropped_total", "Metric points beyond a job's limits.",
          c.metric_points_dropped);
  counter("bsnn_checkpoint_read_bytes_total", "Checkpoint bytes sent to callers.",
          sample.checkpoint_read_bytes);
  counter("bsnn_checkpoint_write_bytes_total", "Checkpoint bytes received from workers.",
          sample.checkpoint_write_bytes);
  counter("bsnn_checkpoint_verify_failures_total",
          "Checkpoint files whose bytes did not match their digest.",
          sample.checkpoint_verify_failures);
}

MetricFamily CommitFamily(const DurationCounts& commits) {
  MetricFamily family =
      Family("bsnn_store_commit_duration_seconds", MetricType::Histogram,
             "Time from a change's decision in memory to its durability, as calls waited for it.");
  ClientMetric metric;
  uint64_t count = 0;
  for (size_t i = 0; i < commits.counts.size(); ++i) {
    count += static_cast<uint64_t>(commits.counts[i]);
    if (i < commits.bounds_seconds.size()) {
      metric.histogram.bucket.push_back({count, commits.bounds_seconds[i]});
    }
  }
  metric.histogram.sample_count = count;
  metric.histogram.sample_sum = commits.sum_seconds;
  family.metric.push_back(std::move(metric));
  return family;
}

MetricFamily RpcFamily(const std::vector<RpcCount>& rpcs) {
  MetricFamily family = Family("grpc_server_handled_total", MetricType::Counter,
                               "Calls answered, by method and status code.");
  for (const RpcCount& rpc : rpcs) {
    Add(family,
        {{"grpc_service", rpc.service}, {"grpc_method", rpc.method}, {"grpc_code", rpc.code}},
        static_cast<double>(rpc.count));
  }
  return family;
}

}  // namespace

telemetry::Shown Classify(const SeriesKey& key) {
  if (!RowOf(key)) return telemetry::Shown::kNot;
  return IsLayerDetail(key) ? telemetry::Shown::kDetail : telemetry::Shown::kPooled;
}

Collectable::Collectable(Options options, Source source)
    : options_(std::move(options)), source_(std::move(source)) {}

std::vector<MetricFamily> Collectable::Collect() const {
  const ServiceSample sample = source_();
  std::vector<MetricFamily> families;
  int64_t dropped = 0;
  {
    absl::MutexLock lock(&mutex_);
    std::map<std::string, HighWater> live;
    for (const JobSample& job : sample.jobs.jobs) {
      const auto found = high_water_.find(job.job.value());
      if (found != high_water_.end()) live.insert(high_water_.extract(found));
    }
    high_water_ = std::move(live);
    JobFamilies jobs(sample.jobs, options_.job_series_max, high_water_);
    jobs.AddAll();
    series_dropped_ += jobs.dropped() + sample.jobs.series_dropped;
    dropped = series_dropped_;
    jobs.MoveTo(families);
  }
  AddQueueFamilies(sample.snapshot, families);
  AddWorkerFamilies(sample, families);
  AddIntakeFamilies(sample, families);
  families.push_back(CommitFamily(sample.commits));
  families.push_back(RpcFamily(sample.rpcs));
  families.push_back(Single("bsnn_metrics_series_dropped_total", MetricType::Counter,
                            "Series of jobs left out of a scrape, beyond the budget.",
                            static_cast<double>(dropped)));
  MetricFamily build = Family("bsnn_build_info", MetricType::Gauge, "1, with the version.");
  Add(build, {{"version", options_.version}}, 1);
  families.push_back(std::move(build));
  return families;
}

}  // namespace bsnn::metrics
