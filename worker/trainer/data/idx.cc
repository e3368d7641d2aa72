#include "worker/trainer/data/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <memory>

#include "base/file.h"
#include "base/status.h"
#include "worker/trainer/data/in_file.h"

namespace bsnn::trainer {
namespace {

absl::StatusOr<std::string> ReadGzip(const std::filesystem::path& path, uint64_t bytes_max) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) return absl::NotFoundError(fmt::format("cannot open {}", path.string()));
  std::string content;
  std::string block(1 << 20, '\0');
  while (true) {
    const int count = gzread(file.get(), block.data(), static_cast<unsigned>(block.size()));
    int error = Z_OK;
    const char* message = gzerror(file.get(), &error);
    if (count < 0 || (error != Z_OK && error != Z_STREAM_END)) {
      return absl::DataLossError(fmt::format("{}: not readable as gzip after {} bytes: {}",
                                             path.string(), content.size(), message));
    }
    if (count == 0) return content;
    if (content.size() + static_cast<uint64_t>(count) > bytes_max) {
      return absl::DataLossError(
          fmt::format("{} holds more than {} bytes", path.string(), bytes_max));
    }
    content.append(block, 0, static_cast<size_t>(count));
  }
}

uint32_t BigEndian(std::string_view content, size_t offset) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(content[offset + i]);
  return value;
}

}  // namespace

absl::StatusOr<IdxArray> ParseIdx(std::string_view content, int dimensions, uint64_t bytes_max) {
  const size_t header = 4 + 4 * static_cast<size_t>(dimensions);
  if (content.size() < header) {
    return absl::DataLossError(
        fmt::format("{} bytes (allowed: a header of {})", content.size(), header));
  }
  const uint32_t magic = 0x0800 + static_cast<uint32_t>(dimensions);
  if (BigEndian(content, 0) != magic) {
    return absl::DataLossError(fmt::format("offset 0: magic is 0x{:08x} (allowed: 0x{:08x})",
                                           BigEndian(content, 0), magic));
  }
  IdxArray array;
  uint64_t bytes = 1;
  for (int i = 0; i < dimensions; ++i) {
    const uint32_t extent = BigEndian(content, 4 + 4 * static_cast<size_t>(i));
    if (extent == 0 || bytes * extent > bytes_max) {
      return absl::DataLossError(
          fmt::format("offset {}: extent is {} (allowed: at least 1, at most {} bytes in all)",
                      4 + 4 * i, extent, bytes_max));
    }
    bytes *= extent;
    array.shape.push_back(extent);
  }
  if (content.size() - header != bytes) {
    return absl::DataLossError(fmt::format("offset {}: {} bytes of data (allowed: {})", header,
                                           content.size() - header, bytes));
  }
  array.bytes.assign(content.begin() + static_cast<ptrdiff_t>(header), content.end());
  return array;
}

absl::StatusOr<IdxArray> ReadIdx(const std::filesystem::path& path, int dimensions,
                                 uint64_t bytes_max) {
  std::filesystem::path found = path;
  std::string content;
  std::error_code unreadable;
  if (std::filesystem::exists(path, unreadable)) {
    ASSIGN_OR_RETURN(content, base::ReadFile(path, bytes_max + 64));
  } else {
    found += ".gz";
    if (!std::filesystem::exists(found, unreadable)) {
      return absl::NotFoundError(
          fmt::format("neither {} nor {} is there", path.string(), found.string()));
    }
    ASSIGN_OR_RETURN(content, ReadGzip(found, bytes_max + 64));
  }
  auto array = ParseIdx(content, dimensions, bytes_max);
  if (!array.ok()) return InFile(found, array.status());
  return array;
}

}  // namespace bsnn::trainer
