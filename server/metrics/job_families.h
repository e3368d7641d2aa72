/// What trainers report, as Prometheus families.
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/telemetry/telemetry.h"

namespace bsnn::metrics {

/// A job's counters at their largest: an attempt that resumes from a checkpoint repeats lower
/// values, and a Prometheus counter must not fall.
struct HighWater {
  double steps = 0;
  std::map<std::shared_ptr<const telemetry::SeriesKey>, double> series;
};

/// How /metrics shows a series of trainers: telemetry asks when a series appears.
telemetry::Shown Classify(const telemetry::SeriesKey& key);

/// Adds the families of all jobs of a sample: at most `budget` metrics, those of a whole job before
/// the detail by layer.
class JobFamilies {
 public:
  /// `high_water` of the jobs in the sample is read and raised. Both must outlive this.
  JobFamilies(const telemetry::Sample& sample, size_t budget,
              std::map<std::string, HighWater>& high_water);

  void AddAll();

  /// Metrics that found no place in the budget.
  int64_t dropped() const { return dropped_; }

  void MoveTo(std::vector<prometheus::MetricFamily>& families);

 private:
  bool Take();
  void AddTo(prometheus::MetricFamily& family, const telemetry::JobSample& job, double value);
  void AddSummary(const telemetry::JobSample& job);
  void AddSeries(const telemetry::JobSample& job, bool detail);

  const telemetry::Sample& sample_;
  size_t left_;
  std::map<std::string, HighWater>& high_water_;
  int64_t dropped_ = 0;
  prometheus::MetricFamily info_, steps_, epoch_, progress_, images_, last_;
  std::vector<prometheus::MetricFamily> series_;
};

}  // namespace bsnn::metrics
