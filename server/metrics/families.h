/// Short ways to build Prometheus families.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace bsnn::metrics {

/// A family without metrics.
prometheus::MetricFamily Family(std::string name, prometheus::MetricType type, std::string help);
/// A family of one metric without labels.
prometheus::MetricFamily Single(std::string name, prometheus::MetricType type, std::string help,
                                double value);
/// Adds a counter or a gauge, whichever the family is of.
void Add(prometheus::MetricFamily& family, std::vector<prometheus::ClientMetric::Label> labels,
         double value);

}  // namespace bsnn::metrics
