#include "wire/event.h"

#include <algorithm>
#include <array>
#include <string>
#include <type_traits>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::wire {
namespace {

// Years 1 to 9999, the range of google.protobuf.Timestamp.
constexpr int64_t kSecondsMin = -62135596800;
constexpr int64_t kSecondsMax = 253402300799;

/// In the order of spec::TrainerFailure.
constexpr std::array<std::string_view, 4> kFailureWords = {"", "user_error", "infrastructure",
                                                           "data_unavailable"};

/// A failure that this build does not know, of a newer worker, is worth a retry like any other.
spec::TrainerFailure ReadFailure(std::string_view word) {
  const auto found = std::find(kFailureWords.begin(), kFailureWords.end(), word);
  if (found == kFailureWords.end()) return spec::TrainerFailure::kInfrastructure;
  return static_cast<spec::TrainerFailure>(found - kFailureWords.begin());
}

/// InvalidFields unless `value` is at least `min`.
absl::Status AtLeast(std::string field, int64_t value, int64_t min) {
  if (value >= min) return absl::OkStatus();
  return base::InvalidFields(
      {{std::move(field), std::to_string(value), "at least " + std::to_string(min)}});
}

std::string Text(const std::string& text, int bytes_max) {
  return base::Shorten(text, static_cast<size_t>(bytes_max));
}

absl::StatusOr<spec::Started> FromProto(const v1::Started& m) {
  RETURN_IF_ERROR(AtLeast("started.steps_total", m.steps_total(), 0));
  RETURN_IF_ERROR(AtLeast("started.resumed_from_step", m.resumed_from_step(), 0));
  return spec::Started{Text(m.device(), 64), m.threads(),         m.parameters(),
                       m.binary_weights(),   m.steps_per_epoch(), m.steps_total(),
                       m.resumed_from_step()};
}

absl::StatusOr<spec::Progress> FromProto(const v1::Progress& m) {
  RETURN_IF_ERROR(AtLeast("progress.step", m.step(), 0));
  RETURN_IF_ERROR(AtLeast("progress.steps_total", m.steps_total(), 0));
  return spec::Progress{m.step(),         m.steps_total(),       m.epoch(),
                        m.epochs_total(), m.images_per_second(), m.eta_seconds()};
}

absl::StatusOr<spec::CheckpointWritten> FromProto(const v1::CheckpointWritten& m) {
  RETURN_IF_ERROR(AtLeast("checkpoint_written.step", m.step(), 0));
  return spec::CheckpointWritten{
      m.step(),       m.epoch(),         Text(m.folder(), 256), Text(m.digest(), 64),
      m.size_bytes(), m.accuracy_ratio()};
}

absl::StatusOr<spec::Finished> FromProto(const v1::Finished& m) {
  if (m.outcome() < v1::Finished::SUCCEEDED || m.outcome() > v1::Finished::FAILED) {
    return base::InvalidFields(
        {{"finished.outcome", std::to_string(m.outcome()), "SUCCEEDED, STOPPED, FAILED"}});
  }
  RETURN_IF_ERROR(AtLeast("finished.step", m.step(), 0));
  return spec::Finished{static_cast<spec::Outcome>(m.outcome() - 1),
                        m.step(),
                        m.accuracy_ratio(),
                        Text(m.checkpoint_digest(), 64),
                        ReadFailure(m.failure_class()),
                        Text(m.message(), base::kLogMessageBytesMax)};
}

template <class Message>
absl::Status SetKind(const Message& message, spec::Event& event) {
  ASSIGN_OR_RETURN(event.kind, FromProto(message));
  return absl::OkStatus();
}

absl::Status ReadKind(const v1::Event& message, spec::Event& event) {
  switch (message.kind_case()) {
    case v1::Event::kStarted:
      return SetKind(message.started(), event);
    case v1::Event::kProgress:
      return SetKind(message.progress(), event);
    case v1::Event::kMetric: {
      ASSIGN_OR_RETURN(event.kind, wire::FromProto(message.metric()));
      return absl::OkStatus();
    }
    case v1::Event::kCheckpointWritten:
      return SetKind(message.checkpoint_written(), event);
    case v1::Event::kLog:
      event.kind = wire::FromProto(message.log());
      return absl::OkStatus();
    case v1::Event::kFinished:
      return SetKind(message.finished(), event);
    case v1::Event::KIND_NOT_SET:
      break;
  }
  return base::InvalidFields({{"kind", "absent", "one of the kinds of bsnn.v1.Event"}});
}

void Write(const spec::Started& e, v1::Event& message) {
  auto& m = *message.mutable_started();
  m.set_device(e.device);
  m.set_threads(e.threads);
  m.set_parameters(e.parameters);
  m.set_binary_weights(e.binary_weights);
  m.set_steps_per_epoch(e.steps_per_epoch);
  m.set_steps_total(e.steps_total);
  m.set_resumed_from_step(e.resumed_from_step);
}

void Write(const spec::Progress& e, v1::Event& message) {
  auto& m = *message.mutable_progress();
  m.set_step(e.step);
  m.set_steps_total(e.steps_total);
  m.set_epoch(e.epoch);
  m.set_epochs_total(e.epochs_total);
  m.set_images_per_second(e.images_per_second);
  m.set_eta_seconds(e.eta_seconds);
}

void Write(const spec::MetricPoint& e, v1::Event& message) {
  *message.mutable_metric() = ToProto(e);
}

void Write(const spec::CheckpointWritten& e, v1::Event& message) {
  auto& m = *message.mutable_checkpoint_written();
  m.set_step(e.step);
  m.set_epoch(e.epoch);
  m.set_folder(e.folder);
  m.set_digest(e.digest);
  m.set_size_bytes(e.size_bytes);
  m.set_accuracy_ratio(e.accuracy_ratio);
}

void Write(const spec::LogLine& e, v1::Event& message) { *message.mutable_log() = ToProto(e); }

void Write(const spec::Finished& e, v1::Event& message) {
  auto& m = *message.mutable_finished();
  m.set_outcome(static_cast<v1::Finished::Outcome>(static_cast<int>(e.outcome) + 1));
  m.set_step(e.step);
  m.set_accuracy_ratio(e.accuracy_ratio);
  m.set_checkpoint_digest(e.checkpoint_digest);
  m.set_failure_class(std::string(kFailureWords[static_cast<size_t>(e.failure)]));
  m.set_message(e.message);
}

}  // namespace

absl::StatusOr<spec::MetricPoint> FromProto(const v1::MetricPoint& m) {
  if (m.name().empty()) {
    return base::InvalidFields({{"metric.name", "empty", "a name of docs/metrics.md"}});
  }
  RETURN_IF_ERROR(AtLeast("metric.step", m.step(), 0));
  RETURN_IF_ERROR(AtLeast("metric.epoch", m.epoch(), 0));
  RETURN_IF_ERROR(AtLeast("metric.time_step", m.time_step(), -1));
  return spec::MetricPoint{Text(m.name(), base::kMetricTextBytesMax),
                           Text(m.layer(), base::kMetricTextBytesMax),
                           Text(m.split(), base::kMetricTextBytesMax),
                           m.time_step(),
                           m.step(),
                           m.epoch(),
                           m.value()};
}

spec::LogLine FromProto(const v1::LogLine& m) {
  const int severity = std::clamp<int>(m.severity(), v1::DEBUG, v1::ERROR);
  return {static_cast<spec::Severity>(severity - v1::DEBUG),
          Text(m.message(), base::kLogMessageBytesMax)};
}

absl::StatusOr<spec::Event> FromProto(const v1::Event& message) {
  RETURN_IF_ERROR(AtLeast("sequence", message.sequence(), 1));
  spec::Event event;
  event.sequence = message.sequence();
  event.time = FromProtoTime(message.event_time());
  RETURN_IF_ERROR(ReadKind(message, event));
  return event;
}

v1::MetricPoint ToProto(const spec::MetricPoint& point) {
  v1::MetricPoint m;
  m.set_name(point.name);
  m.set_layer(point.layer);
  m.set_split(point.split);
  m.set_time_step(point.time_step);
  m.set_step(point.step);
  m.set_epoch(point.epoch);
  m.set_value(point.value);
  return m;
}

v1::LogLine ToProto(const spec::LogLine& line) {
  v1::LogLine m;
  m.set_severity(static_cast<v1::Severity>(static_cast<int>(line.severity) + v1::DEBUG));
  m.set_message(line.message);
  return m;
}

v1::Event ToProto(const spec::Event& event) {
  v1::Event message;
  message.set_sequence(event.sequence);
  *message.mutable_event_time() = ToProtoTime(event.time);
  std::visit([&](const auto& kind) { Write(kind, message); }, event.kind);
  return message;
}

google::protobuf::Timestamp ToProtoTime(absl::Time time) {
  google::protobuf::Timestamp m;
  const int64_t seconds = std::clamp(absl::ToUnixSeconds(time), kSecondsMin, kSecondsMax);
  m.set_seconds(seconds);
  if (seconds == absl::ToUnixSeconds(time)) {
    m.set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  }
  return m;
}

absl::Time FromProtoTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(std::clamp(time.seconds(), kSecondsMin, kSecondsMax)) +
         absl::Nanoseconds(std::clamp(time.nanos(), 0, 999'999'999));
}

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  google::protobuf::Duration m;
  absl::Duration rest;
  m.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  m.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return m;
}

absl::Duration FromProtoDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace bsnn::wire
