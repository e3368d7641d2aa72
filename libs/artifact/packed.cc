#include "artifact/packed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/fault.h"
#include "base/status.h"

namespace bsnn::artifact {
namespace {

constexpr std::string_view kFormat = "bsnn-packed";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kSigns = ".signs", kScale = ".scale", kShape = ".shape";
constexpr uint32_t kSignBit = 0x8000'0000;

std::string With(std::string_view name, std::string_view suffix) {
  return fmt::format("{}{}", name, suffix);
}

std::string_view BytesOf(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// The product, or none where it does not fit.
std::optional<uint64_t> CountOf(const std::vector<uint64_t>& shape) {
  uint64_t count = 1;
  for (const uint64_t extent : shape) {
    if (__builtin_mul_overflow(count, extent, &count)) return std::nullopt;
  }
  return count;
}

/// "32 16 3 3". Nothing where it is something else.
std::optional<std::vector<uint64_t>> ParseShape(std::string_view text) {
  std::vector<uint64_t> shape;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (shape.size() < kTensorRankMax) {
    uint64_t extent = 0;
    const auto [stop, error] = std::from_chars(at, end, extent);
    if (error != std::errc()) return std::nullopt;
    shape.push_back(extent);
    if (stop == end) return shape;
    if (*stop != ' ') return std::nullopt;
    at = stop + 1;
  }
  return std::nullopt;
}

}  // namespace

uint64_t PackedEntry::numel() const { return CountOf(shape).value_or(0); }

PackedTensor PackFloat(std::string name, std::vector<uint64_t> shape,
                       std::span<const float> values) {
  BSNN_CHECK(CountOf(shape) == values.size());
  return {std::move(name), std::move(shape), Packing::kFloat, std::string(BytesOf(values)), {}};
}

absl::StatusOr<PackedTensor> PackSigns(std::string name, std::vector<uint64_t> shape,
                                       std::span<const float> weights) {
  BSNN_CHECK(!shape.empty() && shape[0] > 0 && CountOf(shape) == weights.size());
  PackedTensor out{std::move(name), std::move(shape), Packing::kSigns, {}, {}};
  out.bytes.assign((weights.size() + 7) / 8, '\0');
  const size_t fan_in = weights.size() / out.shape[0];
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto bits = std::bit_cast<uint32_t>(weights[i]);
    if (i % fan_in == 0) out.scale.push_back(std::bit_cast<float>(bits & ~kSignBit));
    if ((bits & ~kSignBit) != std::bit_cast<uint32_t>(out.scale.back())) {
      return absl::InvalidArgumentError(
          fmt::format("tensor '{}': weight {} is {}, others of its channel are -{} or +{}",
                      out.name, i, weights[i], out.scale.back(), out.scale.back()));
    }
    const int sign = (bits & kSignBit) == 0 ? 1 << (i % 8) : 0;
    out.bytes[i / 8] = static_cast<char>(out.bytes[i / 8] | sign);
  }
  return out;
}

PackedTensor PackInt8(std::string name, std::vector<uint64_t> shape, std::span<const int8_t> codes,
                      float scale) {
  BSNN_CHECK(CountOf(shape) == codes.size());
  return {std::move(name),
          std::move(shape),
          Packing::kInt8,
          {reinterpret_cast<const char*>(codes.data()), codes.size()},
          {scale}};
}

absl::Status WritePacked(const PackedModel& model, const ByteSink& sink) {
  TensorMetadata metadata = model.card;
  metadata["format"] = kFormat;
  metadata["version"] = kVersion;
  std::vector<TensorBytes> tensors;
  for (const PackedTensor& tensor : model.tensors) {
    if (tensor.packing == Packing::kSigns) {
      metadata[With(tensor.name, kShape)] = fmt::format("{}", fmt::join(tensor.shape, " "));
      tensors.push_back(
          {With(tensor.name, kSigns), TensorType::kU8, {tensor.bytes.size()}, tensor.bytes});
    } else {
      tensors.push_back({tensor.name,
                         tensor.packing == Packing::kInt8 ? TensorType::kI8 : TensorType::kF32,
                         tensor.shape, tensor.bytes});
    }
    if (!tensor.scale.empty()) {
      tensors.push_back({With(tensor.name, kScale),
                         TensorType::kF32,
                         {tensor.scale.size()},
                         BytesOf(tensor.scale)});
    }
  }
  return WriteSafetensors(std::move(tensors), metadata, sink);
}

absl::StatusOr<PackedFile> PackedFile::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  PackedFile result(std::move(file), path);
  RETURN_IF_ERROR(result.Index());
  return result;
}

const TensorEntry* PackedFile::Find(const std::string& name) const {
  const auto found = std::find_if(file_.tensors().begin(), file_.tensors().end(),
                                  [&](const TensorEntry& entry) { return entry.name == name; });
  return found == file_.tensors().end() ? nullptr : &*found;
}

absl::Status PackedFile::Index() {
  const auto text = [&](const std::string& key) {
    const auto found = card().find(key);
    return found == card().end() ? std::string() : found->second;
  };
  if (text("format") != kFormat) {
    return absl::DataLossError(
        fmt::format("{} is no packed model: format in its metadata is '{}' (allowed: {})",
                    path_.string(), base::Shorten(text("format"), 64), kFormat));
  }
  if (text("version") != kVersion) {
    return absl::FailedPreconditionError(
        fmt::format("{} has format version '{}' (allowed: {}; a newer version needs a newer "
                    "program)",
                    path_.string(), base::Shorten(text("version"), 64), kVersion));
  }
  std::map<std::string, const TensorEntry*> stored;
  for (const TensorEntry& entry : file_.tensors()) stored[entry.name] = &entry;
  std::set<std::string> scales;  // that belong to a packed tensor
  std::map<std::string, PackedEntry> entries;
  for (const auto& [name, entry] : stored) {
    const auto fail = [&, &tensor = name](std::string_view fault) {
      return absl::DataLossError(
          fmt::format("{}: tensor '{}' {}", path_.string(), base::Shorten(tensor, 128), fault));
    };
    PackedEntry packed{name, entry->shape, Packing::kFloat};
    uint64_t scale_count = 1;
    if (entry->type == TensorType::kU8) {
      packed.packing = Packing::kSigns;
      if (!name.ends_with(kSigns)) return fail("is U8, but its name does not end with .signs");
      packed.name.resize(name.size() - kSigns.size());
      const auto shape = ParseShape(text(With(packed.name, kShape)));
      if (!shape) {
        return fail(
            fmt::format("has the shape '{}' in the metadata (allowed: 1 to {} whole "
                        "numbers with one space between)",
                        base::Shorten(text(With(packed.name, kShape)), 64), kTensorRankMax));
      }
      const auto count = CountOf(*shape);
      if (!count || *count == 0 ||
          entry->shape != std::vector<uint64_t>{*count / 8 + (*count % 8 != 0)}) {
        return fail(fmt::format("has {} bytes, the shape {} in the metadata needs another number",
                                entry->size_bytes(), fmt::join(*shape, "x")));
      }
      packed.shape = *shape;
      scale_count = packed.shape[0];
    } else if (entry->type == TensorType::kI8) {
      packed.packing = Packing::kInt8;
    } else if (entry->type != TensorType::kF32) {
      return fail(fmt::format("is {} (allowed: F32, I8, U8)", ToWord(entry->type)));
    }
    if (packed.packing != Packing::kFloat) {
      const auto scale = stored.find(With(packed.name, kScale));
      if (scale == stored.end() || scale->second->type != TensorType::kF32 ||
          scale->second->shape != std::vector<uint64_t>{scale_count}) {
        return fail(fmt::format("needs '{}{}', F32 of {} numbers", base::Shorten(packed.name, 64),
                                kScale, scale_count));
      }
      scales.insert(scale->first);
    }
    if (!entries.emplace(packed.name, packed).second) return fail("is there in two packings");
  }
  for (auto& [name, entry] : entries) {
    if (entry.packing == Packing::kFloat && scales.contains(name)) continue;
    entries_.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PackedFile::ReadBytes(const std::string& name) const {
  const TensorEntry* const entry = Find(name);
  BSNN_CHECK(entry != nullptr);
  std::string bytes(entry->size_bytes(), '\0');
  RETURN_IF_ERROR(file_.Read(*entry, bytes));
  return bytes;
}

absl::Status PackedFile::Read(const PackedEntry& entry, std::span<float> out) const {
  BSNN_CHECK(out.size() == entry.numel());
  if (entry.packing == Packing::kFloat) {
    const TensorEntry* const stored = Find(entry.name);
    BSNN_CHECK(stored != nullptr);
    return file_.Read(*stored, {reinterpret_cast<char*>(out.data()), out.size_bytes()});
  }
  ASSIGN_OR_RETURN(const std::string scale_bytes, ReadBytes(With(entry.name, kScale)));
  std::vector<float> scale(scale_bytes.size() / sizeof(float));
  std::memcpy(scale.data(), scale_bytes.data(), scale_bytes.size());
  const bool signs = entry.packing == Packing::kSigns;
  ASSIGN_OR_RETURN(const std::string bytes,
                   ReadBytes(signs ? With(entry.name, kSigns) : entry.name));
  const auto fail = [&](std::string_view fault) {
    return absl::DataLossError(
        fmt::format("{}: tensor '{}' {}", path_.string(), base::Shorten(entry.name, 128), fault));
  };
  if (signs) {
    if (out.size() % 8 != 0 && static_cast<uint8_t>(bytes.back()) >> (out.size() % 8) != 0) {
      return fail("has bits behind its last sign (allowed: 0)");
    }
    const size_t fan_in = out.size() / scale.size();
    for (size_t i = 0; i < out.size(); ++i) {
      const float s = scale[i / fan_in];
      out[i] = (static_cast<uint8_t>(bytes[i / 8]) >> (i % 8) & 1) != 0 ? s : -s;
    }
    return absl::OkStatus();
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const auto code = static_cast<int8_t>(bytes[i]);
    if (code == -128) return fail(fmt::format("has the code -128 at {} (allowed: -127 to 127)", i));
    out[i] = static_cast<float>(code) * scale[0];
  }
  return absl::OkStatus();
}

}  // namespace bsnn::artifact
