/// Packed models: what a trained network computes with, in one safetensors file of one bit a binary
/// weight. docs/packed-format.md has the frozen layout, version 1.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "artifact/safetensors.h"

namespace bsnn::artifact {

inline constexpr char kPackedName[] = "packed.safetensors";  ///< in a checkpoint's folder

enum class Packing {
  kFloat,  ///< float32
  kSigns,  ///< a bit a weight, a float32 scale a channel (the first extent): -scale or +scale
  kInt8,   ///< a code of -127 to 127 a weight, one float32 scale: their product
};

/// A tensor as it is stored. Shapes are row-major.
struct PackedTensor {
  std::string name;  ///< "conv2.weight"
  std::vector<uint64_t> shape;
  Packing packing = Packing::kFloat;
  std::string bytes;         ///< float32, signs (8 a byte, the first lowest), or codes
  std::vector<float> scale;  ///< kSigns: one a channel; kInt8: one; kFloat: none

  /// Of all that it stores.
  uint64_t size_bytes() const { return bytes.size() + 4 * scale.size(); }
};

/// `values` are as many as `shape` says.
PackedTensor PackFloat(std::string name, std::vector<uint64_t> shape,
                       std::span<const float> values);
/// Weights that are -scale or +scale in each channel, exactly: unpacking gives their very bits.
/// InvalidArgument where a channel has two magnitudes.
absl::StatusOr<PackedTensor> PackSigns(std::string name, std::vector<uint64_t> shape,
                                       std::span<const float> weights);
PackedTensor PackInt8(std::string name, std::vector<uint64_t> shape, std::span<const int8_t> codes,
                      float scale);

struct PackedModel {
  std::vector<PackedTensor> tensors;
  TensorMetadata card;  ///< what it is, for people; keys without dots
};

/// Writes a whole file. Equal models give equal bytes. InvalidArgument where names clash.
absl::Status WritePacked(const PackedModel& model, const ByteSink& sink);

/// A tensor that can be read.
struct PackedEntry {
  std::string name;
  std::vector<uint64_t> shape;
  Packing packing = Packing::kFloat;

  uint64_t numel() const;
};

/// An open file. Thread-compatible. Memory: the header, and what the caller asks for.
class PackedFile {
 public:
  /// NotFound; FailedPrecondition for a version that is not known; DataLoss naming path, tensor and
  /// fault where it is no packed model.
  static absl::StatusOr<PackedFile> Open(const std::filesystem::path& path);

  const std::vector<PackedEntry>& entries() const { return entries_; }  ///< by name
  const TensorMetadata& card() const { return file_.metadata(); }

  /// The weights that the network computes with, into `out` of entry.numel(). `entry` is one of
  /// entries(). DataLoss for a bit behind the last sign, a code of -128, or a file that has shrunk.
  absl::Status Read(const PackedEntry& entry, std::span<float> out) const;

 private:
  PackedFile(SafetensorsFile file, const std::filesystem::path& path)
      : file_(std::move(file)), path_(path) {}
  absl::Status Index();
  const TensorEntry* Find(const std::string& name) const;
  absl::StatusOr<std::string> ReadBytes(const std::string& name) const;

  SafetensorsFile file_;
  std::filesystem::path path_;
  std::vector<PackedEntry> entries_;
};

}  // namespace bsnn::artifact
