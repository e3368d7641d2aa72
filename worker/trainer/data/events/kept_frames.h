/// Frames that were cut, in a safetensors file: `labels` [N] and `pixels` [N, bytes of a sample],
/// with the key of what they were made from and the SHA-256 of both as metadata.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "artifact/digest.h"
#include "artifact/safetensors.h"
#include "base/file.h"

namespace bsnn::trainer {

/// Writes such a file beside its place, sample by sample, and moves it there when it is whole. One
/// process writes it at a time; what one that was killed left behind, the next takes over.
class KeptFramesWriter {
 public:
  /// Makes the folder where it is missing, and waits for whoever writes the file. AlreadyExists
  /// where another one has made it meanwhile. Errors of the file system, naming the path.
  static absl::StatusOr<std::unique_ptr<KeptFramesWriter>> Create(std::filesystem::path path,
                                                                  std::string key,
                                                                  std::vector<uint8_t> labels,
                                                                  size_t sample_bytes);
  /// Removes what is not whole.
  ~KeptFramesWriter();
  KeptFramesWriter(const KeptFramesWriter&) = delete;
  KeptFramesWriter& operator=(const KeptFramesWriter&) = delete;

  /// The next samples' pixels.
  absl::Status Add(std::span<const uint8_t> pixels);
  /// After the last: synced to disk and under its name.
  absl::Status Finish();

 private:
  KeptFramesWriter(std::filesystem::path path, std::string key, std::vector<uint8_t> labels,
                   size_t sample_bytes);
  absl::Status OpenAlone();
  /// Length and JSON; as many bytes for any digest.
  absl::StatusOr<std::string> Header(const std::string& digest) const;

  const std::filesystem::path path_;
  const std::filesystem::path temporary_;
  const std::string key_;
  const std::vector<uint8_t> labels_;
  const size_t sample_bytes_;
  base::FileDescriptor file_;
  artifact::Sha256 digest_;
};

/// An open file of frames. Its pixels stay on disk, or in the system's cache, which processes
/// share.
class KeptFrames {
 public:
  /// NotFound; DataLoss naming the fault where the file is not what was kept under `key`, or its
  /// content is not what its digest says: all of it is read once.
  static absl::StatusOr<KeptFrames> Open(const std::filesystem::path& path, const std::string& key,
                                         size_t samples, size_t sample_bytes);

  const std::vector<uint8_t>& labels() const { return labels_; }
  /// Sample `index`, into `out` of a sample's size. Any number of threads. Errors name the file.
  absl::Status Read(int64_t index, std::span<uint8_t> out) const;

 private:
  KeptFrames(artifact::SafetensorsFile file, size_t samples)
      : file_(std::move(file)), labels_(samples) {}
  absl::StatusOr<std::string> ReadDigest();

  artifact::SafetensorsFile file_;
  artifact::TensorEntry pixels_;
  std::vector<uint8_t> labels_;
};

}  // namespace bsnn::trainer
