/// The trainer's voice: events.jsonl, one line an event, written through at once.
#pragma once

#include <absl/status/statusor.h>

#include <filesystem>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "spec/event.h"

namespace bsnn::trainer {

/// Confined to the thread that trains.
class EventWriter {
 public:
  /// Opens `path`. From scratch it is truncated; a continued one keeps its events, loses a torn
  /// last line and goes on with the next sequence number.
  static absl::StatusOr<EventWriter> Open(const std::filesystem::path& path, bool continued,
                                          const base::Clock& clock);

  /// Keeps no events and logs warnings and errors only: of the ranks behind the first.
  static EventWriter Silent(const base::Clock& clock) { return {{}, {}, 0, clock}; }

  /// Appends an event. A failed write is kept in status() and ends the run where it is looked at.
  template <class Kind>
  void Write(Kind kind) {
    WriteEvent({0, clock_->Now(), std::move(kind)});
  }
  /// Logs a line for people: an event, and a line on standard error.
  void Log(spec::Severity severity, std::string message);

  const absl::Status& status() const { return status_; }

 private:
  EventWriter(base::FileDescriptor file, std::filesystem::path path, int64_t sequence,
              const base::Clock& clock)
      : file_(std::move(file)), path_(std::move(path)), sequence_(sequence), clock_(&clock) {}
  void WriteEvent(spec::Event event);

  base::FileDescriptor file_;
  std::filesystem::path path_;
  int64_t sequence_;  ///< of the last event
  const base::Clock* clock_;
  absl::Status status_;
};

}  // namespace bsnn::trainer
