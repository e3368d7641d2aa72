#include "server/metrics/exposition.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace bsnn::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

void AppendEscaped(std::string& text, std::string_view raw, bool quotes) {
  for (const char c : raw) {
    if (c == '\\') {
      text += "\\\\";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '"' && quotes) {
      text += "\\\"";
    } else {
      text += c;
    }
  }
}

void AppendNumber(std::string& text, double value) {
  if (std::isnan(value)) {
    text += "NaN";
    return;
  }
  if (std::isinf(value)) {
    text += value < 0 ? "-Inf" : "+Inf";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);  // shortest exact form
  text.append(digits, end.ptr);
}

std::string_view TypeWord(MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return "counter";
    case MetricType::Gauge:
      return "gauge";
    case MetricType::Summary:
      return "summary";
    case MetricType::Histogram:
      return "histogram";
    case MetricType::Untyped:
      break;
  }
  return "untyped";
}

/// name{labels,extra_name="extra_value"} value
void AppendLine(std::string& text, std::string_view name, std::string_view suffix,
                const std::vector<ClientMetric::Label>& labels, std::string_view extra_name,
                std::string_view extra_value, double value) {
  text.append(name).append(suffix);
  char separator = '{';
  const auto label = [&](std::string_view key, std::string_view content) {
    text += separator;
    separator = ',';
    text.append(key).append("=\"");
    AppendEscaped(text, content, /*quotes=*/true);
    text += '"';
  };
  for (const auto& item : labels) label(item.name, item.value);
  if (!extra_name.empty()) label(extra_name, extra_value);
  if (separator == ',') text += '}';
  text += ' ';
  AppendNumber(text, value);
  text += '\n';
}

void AppendHistogram(std::string& text, const MetricFamily& family, const ClientMetric& metric) {
  for (const auto& bucket : metric.histogram.bucket) {
    std::string bound;
    AppendNumber(bound, bucket.upper_bound);
    AppendLine(text, family.name, "_bucket", metric.label, "le", bound,
               static_cast<double>(bucket.cumulative_count));
  }
  const auto count = static_cast<double>(metric.histogram.sample_count);
  AppendLine(text, family.name, "_bucket", metric.label, "le", "+Inf", count);
  AppendLine(text, family.name, "_sum", metric.label, "", "", metric.histogram.sample_sum);
  AppendLine(text, family.name, "_count", metric.label, "", "", count);
}

void AppendMetric(std::string& text, const MetricFamily& family, const ClientMetric& metric) {
  switch (family.type) {
    case MetricType::Counter:
      return AppendLine(text, family.name, "", metric.label, "", "", metric.counter.value);
    case MetricType::Gauge:
      return AppendLine(text, family.name, "", metric.label, "", "", metric.gauge.value);
    case MetricType::Summary:
      AppendLine(text, family.name, "_sum", metric.label, "", "", metric.summary.sample_sum);
      return AppendLine(text, family.name, "_count", metric.label, "", "",
                        static_cast<double>(metric.summary.sample_count));
    case MetricType::Histogram:
      return AppendHistogram(text, family, metric);
    case MetricType::Untyped:
      return AppendLine(text, family.name, "", metric.label, "", "", metric.untyped.value);
  }
}

}  // namespace

std::string ToText(const std::vector<MetricFamily>& families) {
  std::string text;
  for (const MetricFamily& family : families) {
    if (family.metric.empty()) continue;
    text.append("# HELP ").append(family.name).append(" ");
    AppendEscaped(text, family.help, /*quotes=*/false);
    text.append("\n# TYPE ").append(family.name).append(" ").append(TypeWord(family.type));
    text += '\n';
    for (const ClientMetric& metric : family.metric) AppendMetric(text, family, metric);
  }
  return text;
}

}  // namespace bsnn::metrics
