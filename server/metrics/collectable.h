/// The coordinator's metrics as Prometheus families: docs/metrics.md is the catalogue.
///
/// Our own Collectable over plain samples, because prometheus-cpp's registry is linear in the
/// series it removes. The samples are taken first and formatted without any lock but its own. At
/// most limits.h kJobSeriesExposedMax series carry a job's id; beyond that the detail by layer goes
/// first, and bsnn_metrics_series_dropped_total counts what was left out.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "server/metrics/job_families.h"
#include "server/metrics/service_sample.h"

namespace bsnn::metrics {

/// Thread-safe.
class Collectable : public prometheus::Collectable {
 public:
  using Source = std::function<ServiceSample()>;

  struct Options {
    std::string version;
    size_t job_series_max;
  };

  Collectable(Options options, Source source);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Options options_;
  const Source source_;
  mutable absl::Mutex mutex_;
  mutable std::map<std::string, HighWater> high_water_ ABSL_GUARDED_BY(mutex_);
  mutable int64_t series_dropped_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bsnn::metrics
