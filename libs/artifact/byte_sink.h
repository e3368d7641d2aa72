/// Where a writer puts its bytes: a file being hashed, or memory in a test.
#pragma once

#include <absl/status/status.h>

#include <functional>
#include <string_view>

namespace bsnn::artifact {

/// Takes the next bytes, or fails. The bytes are the caller's after the call.
using ByteSink = std::function<absl::Status(std::string_view)>;

}  // namespace bsnn::artifact
