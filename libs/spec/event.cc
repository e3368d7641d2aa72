#include "spec/event.h"

#include <absl/time/time.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::spec {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 4> kSeverities = {"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 3> kOutcomes = {"succeeded", "stopped", "failed"};
constexpr std::array<std::string_view, 4> kFailures = {"", "user_error", "infrastructure",
                                                       "data_unavailable"};

Json WriteNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

/// Writes one event's fields into a JSON object.
class Writer {
 public:
  explicit Writer(Json& json) : json_(json) {}
  void Text(const char* name, const std::string& value, int) { json_[name] = value; }
  void Whole(const char* name, int64_t value) { json_[name] = value; }
  void Whole(const char* name, int32_t value) { json_[name] = value; }
  void Number(const char* name, double value) { json_[name] = WriteNumber(value); }
  template <class Enum, size_t N>
  void Word(const char* name, Enum value, const std::array<std::string_view, N>& words) {
    json_[name] = std::string(words.at(static_cast<size_t>(value)));
  }

 private:
  Json& json_;
};

/// Reads one event's fields; the first fault is kept in `status`.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  void Text(const char* name, std::string& value, int bytes_max) {
    const Json* found = Find(name);
    if (found == nullptr) return;
    if (!found->is_string()) return Fault(name, "a string");
    value = base::Shorten(found->get_ref<const std::string&>(), static_cast<size_t>(bytes_max));
  }
  template <class Integer>
  void Whole(const char* name, Integer& value) {
    const Json* found = Find(name);
    if (found == nullptr) return;
    const bool fits = found->is_number_unsigned()
                          ? found->get<uint64_t>() <= uint64_t{std::numeric_limits<Integer>::max()}
                          : found->is_number_integer() && found->get<int64_t>() == -1;
    if (!fits) return Fault(name, "a whole number, at least -1");
    value = found->get<Integer>();
  }
  void Number(const char* name, double& value) {
    const Json* found = Find(name);
    if (found == nullptr) return;
    if (found->is_number()) {
      value = found->get<double>();
    } else if (*found == "NaN") {
      value = std::numeric_limits<double>::quiet_NaN();
    } else if (*found == "Infinity" || *found == "-Infinity") {
      value = std::copysign(std::numeric_limits<double>::infinity(), *found == "Infinity" ? 1 : -1);
    } else {
      Fault(name, "a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
    }
  }
  template <class Enum, size_t N>
  void Word(const char* name, Enum& value, const std::array<std::string_view, N>& words) {
    const Json* found = Find(name);
    if (found == nullptr) return;
    for (size_t i = 0; i < N && found->is_string(); ++i) {
      if (found->get_ref<const std::string&>() == words[i]) {
        value = static_cast<Enum>(i);
        return;
      }
    }
    Fault(name, "a known word");
  }

  absl::Status status = absl::OkStatus();

 private:
  const Json* Find(const char* name) {
    const auto found = json_.find(name);
    if (found != json_.end()) return &*found;
    Fault(name, "present");
    return nullptr;
  }
  void Fault(const char* name, std::string_view allowed) {
    if (!status.ok()) return;
    const auto found = json_.find(name);
    status = base::InvalidFields(
        {{fmt::format("event.{}", name),
          found == json_.end()
              ? "absent"
              : base::Shorten(found->dump(-1, ' ', false, Json::error_handler_t::replace), 128),
          std::string(allowed)}});
  }
  const Json& json_;
};

template <class Visitor, class T>
void VisitStarted(Visitor& v, T& e) {
  v.Text("device", e.device, 64);
  v.Whole("threads", e.threads);
  v.Whole("parameters", e.parameters);
  v.Whole("binary_weights", e.binary_weights);
  v.Whole("steps_per_epoch", e.steps_per_epoch);
  v.Whole("steps_total", e.steps_total);
  v.Whole("resumed_from_step", e.resumed_from_step);
}
template <class Visitor, class T>
void VisitProgress(Visitor& v, T& e) {
  v.Whole("step", e.step);
  v.Whole("steps_total", e.steps_total);
  v.Whole("epoch", e.epoch);
  v.Whole("epochs_total", e.epochs_total);
  v.Number("images_per_second", e.images_per_second);
  v.Number("eta_seconds", e.eta_seconds);
}
template <class Visitor, class T>
void VisitMetric(Visitor& v, T& e) {
  v.Text("name", e.name, base::kMetricTextBytesMax);
  v.Text("layer", e.layer, base::kMetricTextBytesMax);
  v.Text("split", e.split, base::kMetricTextBytesMax);
  v.Whole("time_step", e.time_step);
  v.Whole("step", e.step);
  v.Whole("epoch", e.epoch);
  v.Number("value", e.value);
}
template <class Visitor, class T>
void VisitCheckpoint(Visitor& v, T& e) {
  v.Whole("step", e.step);
  v.Whole("epoch", e.epoch);
  v.Text("folder", e.folder, 256);
  v.Text("digest", e.digest, 64);
  v.Whole("size_bytes", e.size_bytes);
  v.Number("accuracy_ratio", e.accuracy_ratio);
}
template <class Visitor, class T>
void VisitLog(Visitor& v, T& e) {
  v.Word("severity", e.severity, kSeverities);
  v.Text("message", e.message, base::kLogMessageBytesMax);
}
template <class Visitor, class T>
void VisitFinished(Visitor& v, T& e) {
  v.Word("outcome", e.outcome, kOutcomes);
  v.Whole("step", e.step);
  v.Number("accuracy_ratio", e.accuracy_ratio);
  v.Text("checkpoint_digest", e.checkpoint_digest, 64);
  v.Word("failure", e.failure, kFailures);
  v.Text("message", e.message, base::kLogMessageBytesMax);
}

template <class Visitor>
struct KindVisitor {
  Visitor& v;
  template <class T>
  void operator()(T& e) const {
    using Kind = std::remove_const_t<T>;
    if constexpr (std::is_same_v<Kind, Started>) VisitStarted(v, e);
    if constexpr (std::is_same_v<Kind, Progress>) VisitProgress(v, e);
    if constexpr (std::is_same_v<Kind, MetricPoint>) VisitMetric(v, e);
    if constexpr (std::is_same_v<Kind, CheckpointWritten>) VisitCheckpoint(v, e);
    if constexpr (std::is_same_v<Kind, LogLine>) VisitLog(v, e);
    if constexpr (std::is_same_v<Kind, Finished>) VisitFinished(v, e);
  }
};

// In the order of Event::kind's alternatives.
constexpr std::array<std::string_view, 6> kTypes = {"started",    "progress", "metric",
                                                    "checkpoint", "log",      "finished"};

bool MakeKind(std::string_view type, Event& event) {
  if (type == kTypes[0])
    event.kind = Started();
  else if (type == kTypes[1])
    event.kind = Progress();
  else if (type == kTypes[2])
    event.kind = MetricPoint();
  else if (type == kTypes[3])
    event.kind = CheckpointWritten();
  else if (type == kTypes[4])
    event.kind = LogLine();
  else if (type == kTypes[5])
    event.kind = Finished();
  else
    return false;
  return true;
}

}  // namespace

std::string ToJsonLine(const Event& event) {
  Json json = {{"sequence", event.sequence},
               {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", event.time, absl::UTCTimeZone())},
               {"type", std::string(kTypes.at(event.kind.index()))}};
  Writer writer(json);
  std::visit(KindVisitor<Writer>{writer}, event.kind);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Event> ParseEventLine(std::string_view line) {
  if (line.size() > base::kEventLineBytesMax) {
    return absl::ResourceExhaustedError(fmt::format("event line is {} bytes (allowed: at most {})",
                                                    line.size(), base::kEventLineBytesMax));
  }
  const auto flat = [](int depth, Json::parse_event_t, Json&) { return depth <= 2; };
  const Json json = Json::parse(line, flat, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return base::InvalidFields({{"event", base::Shorten(line, 64), "a JSON object"}});
  }
  Event event;
  Reader reader(json);
  std::string type, time;
  reader.Whole("sequence", event.sequence);
  reader.Text("time", time, 64);
  reader.Text("type", type, 64);
  RETURN_IF_ERROR(reader.status);
  std::string error;
  if (!absl::ParseTime("%Y-%m-%dT%H:%M:%E*SZ", time, &event.time, &error)) {
    return base::InvalidFields({{"event.time", time, "RFC 3339 in UTC"}});
  }
  if (!MakeKind(type, event)) {
    return base::InvalidFields(
        {{"event.type", type, "started, progress, metric, checkpoint, log, finished"}});
  }
  std::visit(KindVisitor<Reader>{reader}, event.kind);
  RETURN_IF_ERROR(reader.status);
  return event;
}

}  // namespace bsnn::spec
