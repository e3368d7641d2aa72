/// Safetensors files, read strictly and written deterministically.
///
/// Layout: 8 bytes little-endian header length, a JSON header (name -> dtype, shape, data_offsets),
/// then one buffer. Never pickle: reading runs no code. The reader refuses what the format forbids:
/// keys twice, offsets that overlap, leave holes or miss the end, sizes that do not match shapes,
/// overflow. It checks no values and no digest; the manifest does that.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/byte_sink.h"
#include "base/file.h"

namespace bsnn::artifact {

enum class TensorType { kBool, kU8, kI8, kI32, kI64, kF16, kBf16, kF32, kF64 };

/// Bytes of one element.
uint64_t SizeOf(TensorType type);
/// The format's word, such as "F32".
std::string_view ToWord(TensorType type);

inline constexpr size_t kTensorRankMax = 16;

/// Where a tensor lies in the buffer behind the header.
struct TensorEntry {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<uint64_t> shape;  ///< row-major; empty is a scalar
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t size_bytes() const { return end - begin; }
  bool operator==(const TensorEntry&) const = default;
};

using TensorMetadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< in the order of the buffer
  TensorMetadata metadata;
};

/// Reads the header's JSON, for a buffer of `data_bytes`. DataLoss naming the tensor and the fault.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json,
                                                         uint64_t data_bytes);

/// The header's JSON (with padding spaces) for tensors in the order given; begin and end of the
/// entries are ignored. InvalidArgument where a name is empty, reserved or there twice.
absl::StatusOr<std::string> MakeSafetensorsHeader(const std::vector<TensorEntry>& tensors,
                                                  const TensorMetadata& metadata);

/// What stands before the buffer: the header's length, and the header.
std::string SafetensorsPreamble(std::string_view header);

/// A tensor to write. `bytes` are little-endian, row-major, and as many as type and shape say.
struct TensorBytes {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<uint64_t> shape;
  std::string_view bytes;
};

/// Writes a whole file. Equal tensors and metadata give equal bytes, in whatever order they come:
/// the buffer holds wide types first, then by name, so that each tensor is aligned.
/// InvalidArgument for a wrong name or size; else the sink's error.
absl::Status WriteSafetensors(std::vector<TensorBytes> tensors, const TensorMetadata& metadata,
                              const ByteSink& sink);

/// An open file. Thread-compatible. Reads with bounded memory: the header, and what the caller asks
/// for.
class SafetensorsFile {
 public:
  /// NotFound, or DataLoss naming path and fault.
  static absl::StatusOr<SafetensorsFile> Open(const std::filesystem::path& path);

  const std::vector<TensorEntry>& tensors() const { return header_.tensors; }
  const TensorMetadata& metadata() const { return header_.metadata; }

  /// The bytes of `tensor`, one of tensors(), into `out` of just that size. DataLoss where the file
  /// has shrunk since.
  absl::Status Read(const TensorEntry& tensor, std::span<char> out) const;
  /// The same of as many of its bytes as `out` has, from `begin` on.
  absl::Status ReadPart(const TensorEntry& tensor, uint64_t begin, std::span<char> out) const;

 private:
  SafetensorsFile() = default;
  std::filesystem::path path_;
  base::FileDescriptor file_;
  uint64_t data_begin_ = 0;
  SafetensorsHeader header_;
};

}  // namespace bsnn::artifact
