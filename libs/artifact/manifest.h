/// The manifest of a checkpoint: what it is, and the size and SHA-256 of each of its files.
///
/// Equal manifests have equal bytes: keys sorted, no times, no host names. A checkpoint's digest is
/// the SHA-256 of those bytes, so it stands for every byte of the checkpoint.
/// docs/checkpoint-format.md has the frozen layout, version 1.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bsnn::artifact {

inline constexpr char kManifestName[] = "manifest.json";

struct ManifestFile {
  std::string name;  ///< see IsFileName
  uint64_t size_bytes = 0;
  std::string sha256;  ///< lower-case hexadecimal
  bool operator==(const ManifestFile&) const = default;
};

struct Manifest {
  std::string kind = "full";
  int64_t step = 0;           ///< optimiser steps done
  int32_t epoch = 0;          ///< passes over the data seen whole
  double accuracy_ratio = 0;  ///< on the test set, 0 to 1; NaN where it was not evaluated
  std::string spec;           ///< the job's spec: JSON text of an object
  std::vector<ManifestFile> files;
};

/// Whether `name` may be a file of a checkpoint: [a-z0-9_.-]{1,63}, but not ".", ".." or
/// manifest.json. Hence safe as a path component.
bool IsFileName(std::string_view name);

/// The bytes of manifest.json. Files are sorted by name. `manifest` must be one that ParseManifest
/// would take; a broken one ends the program.
std::string ToText(const Manifest& manifest);

/// Reads and checks every field. InvalidFields (base/fault.h) names all that is wrong, fields that
/// are unknown or there twice too; ResourceExhausted beyond limits.h kManifestBytesMax.
absl::StatusOr<Manifest> ParseManifest(std::string_view text);

}  // namespace bsnn::artifact
