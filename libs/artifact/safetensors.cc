#include "artifact/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::artifact {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr uint64_t kLengthBytes = 8;

/// Fills `out` from `offset`, or says how the file fell short.
absl::Status ReadAt(int descriptor, uint64_t offset, std::span<char> out,
                    const std::filesystem::path& path) {
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus(errno, "cannot read", path);
    if (count == 0) {
      return absl::DataLossError(
          fmt::format("{} ends at byte {}, {} more expected", path.string(), offset, out.size()));
    }
    out = out.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

}  // namespace

std::string SafetensorsPreamble(std::string_view header) {
  const uint64_t length = header.size();
  std::string preamble(kLengthBytes, '\0');
  std::memcpy(preamble.data(), &length, sizeof length);
  return preamble.append(header);
}

absl::Status WriteSafetensors(std::vector<TensorBytes> tensors, const TensorMetadata& metadata,
                              const ByteSink& sink) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorBytes& a, const TensorBytes& b) {
    if (SizeOf(a.type) != SizeOf(b.type)) return SizeOf(a.type) > SizeOf(b.type);
    return a.name < b.name;
  });
  std::vector<TensorEntry> entries;
  for (const TensorBytes& tensor : tensors) {
    entries.push_back({tensor.name, tensor.type, tensor.shape, 0, 0});
  }
  ASSIGN_OR_RETURN(const std::string header, MakeSafetensorsHeader(entries, metadata));
  uint64_t data_bytes = 0;
  for (const TensorBytes& tensor : tensors) data_bytes += tensor.bytes.size();
  // The reader's own check: what is written can be read, and each size is what its shape says.
  if (const auto parsed = ParseSafetensorsHeader(header, data_bytes); !parsed.ok()) {
    return absl::InvalidArgumentError(std::string(parsed.status().message()));
  }
  RETURN_IF_ERROR(sink(SafetensorsPreamble(header)));
  for (const TensorBytes& tensor : tensors) {
    if (!tensor.bytes.empty()) RETURN_IF_ERROR(sink(tensor.bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::filesystem::path& path) {
  SafetensorsFile result;
  result.path_ = path;
  result.file_ = base::FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!result.file_.valid()) return base::ErrnoStatus(errno, "cannot open", path);
  struct stat facts {};
  if (::fstat(result.file_.get(), &facts) != 0)
    return base::ErrnoStatus(errno, "cannot read", path);
  const auto size = static_cast<uint64_t>(facts.st_size);
  const auto fail = [&](const std::string& fault) {
    return absl::DataLossError(fmt::format("{}: {}", path.string(), fault));
  };
  if (!S_ISREG(facts.st_mode) || size < kLengthBytes) return fail("is no safetensors file");
  uint64_t length = 0;
  std::array<char, kLengthBytes> prefix;
  RETURN_IF_ERROR(ReadAt(result.file_.get(), 0, prefix, path));
  std::memcpy(&length, prefix.data(), sizeof length);
  if (length > base::kSafetensorsHeaderBytesMax || length > size - kLengthBytes) {
    return fail(fmt::format("header is {} bytes (allowed: at most {}, and the file's {})", length,
                            base::kSafetensorsHeaderBytesMax, size - kLengthBytes));
  }
  std::string json(length, '\0');
  RETURN_IF_ERROR(ReadAt(result.file_.get(), kLengthBytes, json, path));
  result.data_begin_ = kLengthBytes + length;
  auto header = ParseSafetensorsHeader(json, size - result.data_begin_);
  if (!header.ok()) return fail(std::string(header.status().message()));
  result.header_ = *std::move(header);
  return result;
}

absl::Status SafetensorsFile::Read(const TensorEntry& tensor, std::span<char> out) const {
  BSNN_CHECK(out.size() == tensor.size_bytes());
  return ReadPart(tensor, 0, out);
}

absl::Status SafetensorsFile::ReadPart(const TensorEntry& tensor, uint64_t begin,
                                       std::span<char> out) const {
  BSNN_CHECK(begin <= tensor.size_bytes() && out.size() <= tensor.size_bytes() - begin);
  return ReadAt(file_.get(), data_begin_ + tensor.begin + begin, out, path_);
}

}  // namespace bsnn::artifact
