/// Faults that name their file.
#pragma once

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <filesystem>

namespace bsnn::trainer {

/// `status` with the path before its message; OK stays OK.
inline absl::Status InFile(const std::filesystem::path& path, const absl::Status& status) {
  if (status.ok()) return status;
  return {status.code(), absl::StrCat(path.string(), ": ", status.message())};
}

}  // namespace bsnn::trainer
