/// Checkpoints as folders: written so that only complete ones are ever seen, and read only when
/// every byte is what the manifest says.
///
/// Calls on one folder must not overlap. Concurrent readers of a complete checkpoint are fine.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "artifact/byte_sink.h"
#include "artifact/manifest.h"

namespace bsnn::artifact {

struct VerifiedCheckpoint {
  std::filesystem::path path;
  Manifest manifest;
  std::string manifest_text;  ///< the bytes of manifest.json
  std::string digest;         ///< SHA-256 of manifest_text

  /// All its files and the manifest.
  uint64_t size_bytes() const;
};

/// One file to write: `write` gives its bytes to the sink, once.
struct FileContent {
  std::string name;  ///< IsFileName
  std::function<absl::Status(const ByteSink&)> write;
};

/// Reads the manifest and every file. NotFound where there is no folder; DataLoss, naming the file
/// and what differs, where anything is missing, cut, longer or changed. Files that the manifest
/// does not name are ignored.
absl::StatusOr<VerifiedCheckpoint> VerifyCheckpointFolder(const std::filesystem::path& path);

/// Writes a checkpoint at `path`, whose parent exists. After OK it is durable. Whatever happens
/// before, `path` holds what it held or the whole checkpoint; the rest is in a hidden folder beside
/// it. `manifest.files` is ignored: names, sizes and digests come from what is written.
absl::StatusOr<VerifiedCheckpoint> WriteCheckpointFolder(const std::filesystem::path& path,
                                                         const std::vector<FileContent>& files,
                                                         Manifest manifest);

/// "step-00000938".
std::string CheckpointFolderName(int64_t step);

/// The folders in `folder` named as CheckpointFolderName does, largest step first. Not verified.
/// Empty where there are none.
std::vector<std::filesystem::path> ListCheckpointFolders(const std::filesystem::path& folder);

/// Removes a checkpoint so that it is never seen in part: hidden by a rename first. OK where it is
/// gone.
absl::Status RemoveCheckpointFolder(const std::filesystem::path& path);

/// Removes what interrupted writes and removals left behind in `folder`.
absl::Status RemoveLeftovers(const std::filesystem::path& folder);

}  // namespace bsnn::artifact
