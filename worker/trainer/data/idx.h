/// IDX, the format of the MNIST family: big-endian magic and extents, then bytes.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace bsnn::trainer {

struct IdxArray {
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
};

/// Parses an IDX array of unsigned bytes with `dimensions` dimensions. DataLoss, with the offset,
/// for another magic, for more than `bytes_max` bytes, for too few or too many bytes.
absl::StatusOr<IdxArray> ParseIdx(std::string_view content, int dimensions, uint64_t bytes_max);

/// Reads `path`, or `path`.gz where that is what there is, decompressing at most `bytes_max`.
absl::StatusOr<IdxArray> ReadIdx(const std::filesystem::path& path, int dimensions,
                                 uint64_t bytes_max);

}  // namespace bsnn::trainer
