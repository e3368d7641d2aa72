/// The Prometheus text format 0.0.4, with doubles written so that reading gives the same bits.
///
/// prometheus-cpp 1.0's own serialiser writes 16 significant digits: 0.1 + 0.2 becomes 0.3. A gauge
/// must equal the trainer's value exactly.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace bsnn::metrics {

/// Families without metrics are left out.
std::string ToText(const std::vector<prometheus::MetricFamily>& families);

}  // namespace bsnn::metrics
