#include "server/metrics/collectable.h"

#include <cctype>
#include <iterator>
#include <string_view>
#include <utility>

#include "server/metrics/families.h"

namespace bsnn::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using telemetry::JobSample;

std::string Lower(std::string_view word) {
  std::string text(word);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

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
  counter("bsnn_checkpoint_disk_full_total", "Checkpoint writes refused for want of room.",
          sample.checkpoint_disk_full);
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
