/// The CIFAR binary format: records of one or two label bytes and 3 x 32 x 32 pixel bytes.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "worker/trainer/data/memory_dataset.h"

namespace bsnn::trainer {

/// CIFAR-10 has one label byte; CIFAR-100 a coarse one, which is not kept, and a fine one.
struct CifarFormat {
  int label_bytes = 1;
  int classes = 10;
};

inline constexpr int64_t kCifarSide = 32;
inline constexpr int64_t kCifarPixels = 3 * kCifarSide * kCifarSide;

/// Appends the records of one file's content to `pictures`: planes of red, green and blue.
/// DataLoss, with the offset, for content that is empty or ends inside a record, and for a label
/// that is no class; then nothing is appended. Source: Krizhevsky, "Learning Multiple Layers of
/// Features from Tiny Images", 2009, the binary version.
absl::Status ParseCifar(std::string_view content, const CifarFormat& format, Pictures& pictures);

/// The same for a file of at most `bytes_max` bytes; faults name the path. NotFound where it is
/// missing.
absl::Status ReadCifar(const std::filesystem::path& path, const CifarFormat& format,
                       uint64_t bytes_max, Pictures& pictures);

}  // namespace bsnn::trainer
