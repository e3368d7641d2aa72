/// Errors that say which field is wrong, and errors with a reason a program can act on.
///
/// Both ride on absl::Status as payloads; libs/wire turns them into google.rpc.BadRequest and
/// ErrorInfo, and back.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bsnn::base {

/// One wrong field of a request, a file or a configuration.
struct FieldFault {
  std::string field;    ///< dotted path, such as "spec.network.time_steps"
  std::string value;    ///< the value met, as text, at most 128 characters
  std::string allowed;  ///< what would be right, such as "1 to 64"

  bool operator==(const FieldFault&) const = default;
};

/// InvalidArgument naming every fault in its message and in its payload. `faults` is not empty.
absl::Status InvalidFields(const std::vector<FieldFault>& faults);

/// The faults of an InvalidFields status; empty for any other.
std::vector<FieldFault> FaultsOf(const absl::Status& status);

/// Why something failed, for programs: UPPER_SNAKE of at most 63 characters, and facts beside it.
struct Reason {
  std::string reason;
  std::map<std::string, std::string> metadata;

  bool operator==(const Reason&) const = default;
};

/// `status` with a reason attached.
/// Reason of an error that is a full disk, or a used-up quota of one.
inline constexpr char kDiskFull[] = "DISK_FULL";
absl::Status WithReason(absl::Status status, const Reason& reason);

/// The reason attached to `status`; `reason` is empty where there is none.
Reason ReasonOf(const absl::Status& status);

/// `text` cut to `bytes_max` on a UTF-8 boundary, with "..." where something was cut.
std::string Shorten(std::string_view text, size_t bytes_max);

}  // namespace bsnn::base
