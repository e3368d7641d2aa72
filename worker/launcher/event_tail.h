/// Reads a growing file of lines, such as a trainer's events.jsonl, in bounded memory.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

namespace bsnn::launcher {

/// A line without its end; or, where `fault` is not empty, what stands where a line should.
struct TailItem {
  std::string line;
  std::string fault;
  bool operator==(const TailItem&) const = default;
};

/// Gives each whole line once. A line beyond `line_bytes_max` is one fault, whatever its length. A
/// last line without its end waits. A file that is not there yet has no lines; one that has become
/// shorter is read from its start again. Thread-compatible.
class EventTail {
 public:
  EventTail(std::filesystem::path path, uint64_t line_bytes_max);

  /// Lines not given before, at most `items_max`; empty where there are none now.
  absl::StatusOr<std::vector<TailItem>> Read(size_t items_max);
  /// Call once after the writer is gone and Read gives nothing more: a last line that never got its
  /// end, as a fault; empty where there is none.
  std::string TornEnd() const;

 private:
  absl::Status Fill();
  void Split(size_t items_max, std::vector<TailItem>& items);

  const std::filesystem::path path_;
  const uint64_t line_bytes_max_;
  base::FileDescriptor file_;
  uint64_t offset_ = 0;
  std::string buffer_;  ///< read and not given; at most one block beyond line_bytes_max_
  bool skipping_ = false;
};

}  // namespace bsnn::launcher
