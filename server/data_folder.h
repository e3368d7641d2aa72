/// The coordinator's data folder, held by one process at a time.
#pragma once

#include <absl/status/statusor.h>

#include <filesystem>
#include <string>

#include "base/file.h"

namespace bsnn::server {

/// Holds a lock on `folder` until it goes; the operating system gives it back after a crash.
class DataFolder {
 public:
  /// Makes the folder where it is missing. FailedPrecondition with reason DATA_FOLDER_IN_USE where
  /// another process holds it.
  static absl::StatusOr<DataFolder> Open(const std::filesystem::path& folder);

  std::filesystem::path database() const { return folder_ / "coordinator.sqlite"; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }

 private:
  std::filesystem::path folder_;
  base::FileDescriptor lock_;
};

}  // namespace bsnn::server
