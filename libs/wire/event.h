/// Trainer events and times between their messages and their plain values.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "bsnn/v1/event.pb.h"
#include "spec/event.h"

namespace bsnn::wire {

/// InvalidArgument naming the field for an event without kind or with a value out of range. Texts
/// beyond their limits are cut.
absl::StatusOr<spec::Event> FromProto(const v1::Event& message);
absl::StatusOr<spec::MetricPoint> FromProto(const v1::MetricPoint& message);
spec::LogLine FromProto(const v1::LogLine& message);

v1::Event ToProto(const spec::Event& event);
v1::MetricPoint ToProto(const spec::MetricPoint& point);
v1::LogLine ToProto(const spec::LogLine& line);

google::protobuf::Timestamp ToProtoTime(absl::Time time);
/// Out-of-range fields give the nearest time of the years 1 to 9999.
absl::Time FromProtoTime(const google::protobuf::Timestamp& time);
google::protobuf::Duration ToProtoDuration(absl::Duration duration);
absl::Duration FromProtoDuration(const google::protobuf::Duration& duration);

}  // namespace bsnn::wire
