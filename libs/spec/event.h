/// What a trainer says while it runs, as plain values and as JSON lines (docs/protocol.md).
///
/// A trainer appends one line for each event to OUT/events.jsonl; the worker's agent relays them.
/// Sequence numbers are contiguous from 1 within one run of a trainer.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace bsnn::spec {

struct Started {
  std::string device;  ///< "cpu" or "cuda:0"
  int32_t threads = 0;
  int64_t parameters = 0;      ///< trained numbers
  int64_t binary_weights = 0;  ///< of these, the ones that are -1 or +1 when deployed
  int64_t steps_per_epoch = 0;
  int64_t steps_total = 0;
  int64_t resumed_from_step = 0;  ///< 0 for a run from the start
  bool operator==(const Started&) const = default;
};

struct Progress {
  int64_t step = 0;
  int64_t steps_total = 0;
  int32_t epoch = 0;  ///< 1-based, the pass under way
  int32_t epochs_total = 0;
  double images_per_second = 0;
  double eta_seconds = 0;
  bool operator==(const Progress&) const = default;
};

/// One value of the series (name, layer, split, time_step). docs/metrics.md lists the names.
struct MetricPoint {
  std::string name;
  std::string layer;       ///< "" where there is none; "all" pools the binary layers
  std::string split;       ///< "train", "test" or ""
  int32_t time_step = -1;  ///< -1 where there is none
  int64_t step = 0;        ///< optimiser steps done
  int32_t epoch = 0;       ///< 1-based, the pass under way or just finished
  double value = 0;        ///< may be NaN or infinite
  bool operator==(const MetricPoint&) const = default;
};

struct CheckpointWritten {
  int64_t step = 0;
  int32_t epoch = 0;   ///< passes over the data it has seen whole
  std::string folder;  ///< relative to OUT, such as "checkpoints/step-00000938"
  std::string digest;  ///< SHA-256 of its manifest.json, lower-case hexadecimal
  int64_t size_bytes = 0;
  double accuracy_ratio = 0;  ///< on the test set; NaN where it was not evaluated
  bool operator==(const CheckpointWritten&) const = default;
};

enum class Severity { kDebug, kInfo, kWarning, kError };

struct LogLine {
  Severity severity = Severity::kInfo;
  std::string message;
  bool operator==(const LogLine&) const = default;
};

enum class Outcome { kSucceeded, kStopped, kFailed };
/// kUserError: the spec itself. kDataUnavailable: this machine lacks the data set, or what it has
/// is damaged. kInfrastructure: anything else.
enum class TrainerFailure { kNone, kUserError, kInfrastructure, kDataUnavailable };

/// The last event of a run.
struct Finished {
  Outcome outcome = Outcome::kSucceeded;
  int64_t step = 0;
  double accuracy_ratio = 0;      ///< on the test set; NaN where it was not evaluated
  std::string checkpoint_digest;  ///< of the newest checkpoint; "" where there is none
  TrainerFailure failure = TrainerFailure::kNone;
  std::string message;
  bool operator==(const Finished&) const = default;
};

struct Event {
  int64_t sequence = 0;
  absl::Time time;
  std::variant<Started, Progress, MetricPoint, CheckpointWritten, LogLine, Finished> kind;
  bool operator==(const Event&) const = default;
};

/// One line, with no line end. NaN and infinities are the strings "NaN", "Infinity", "-Infinity".
std::string ToJsonLine(const Event& event);

/// InvalidArgument with the field for a line that is not an event; lines beyond
/// limits.h kEventLineBytesMax are ResourceExhausted. Texts are cut to their limits.
absl::StatusOr<Event> ParseEventLine(std::string_view line);

}  // namespace bsnn::spec
