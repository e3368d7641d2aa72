#include "server/metrics/families.h"

#include <utility>

namespace bsnn::metrics {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Family(std::string name, MetricType type, std::string help) {
  return {std::move(name), std::move(help), type, {}};
}

void Add(MetricFamily& family, std::vector<ClientMetric::Label> labels, double value) {
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

}  // namespace bsnn::metrics
