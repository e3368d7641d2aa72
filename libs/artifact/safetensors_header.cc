#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "artifact/safetensors.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::artifact {
namespace {

using Json = nlohmann::json;

constexpr char kMetadataKey[] = "__metadata__";

struct TypeRow {
  std::string_view word;
  uint64_t size_bytes;
};
// In the order of TensorType.
constexpr std::array<TypeRow, 9> kTypes = {{{"BOOL", 1},
                                            {"U8", 1},
                                            {"I8", 1},
                                            {"I32", 4},
                                            {"I64", 8},
                                            {"F16", 2},
                                            {"BF16", 2},
                                            {"F32", 4},
                                            {"F64", 8}}};

/// Size of a tensor, or none where it overflows.
std::optional<uint64_t> ByteCount(TensorType type, const std::vector<uint64_t>& shape) {
  uint64_t bytes = SizeOf(type);
  for (const uint64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return bytes;
}

/// Reads the header as a stream of JSON tokens: memory grows with the tensors only, whatever the
/// text holds. Levels: 1 the header, 2 one tensor or the metadata, 3 a shape or offsets.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Refuse("null"); }
  bool boolean(bool) override { return Refuse("a boolean"); }
  bool number_integer(number_integer_t) override { return Refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Refuse("a fraction"); }
  bool binary(binary_t&) override { return Refuse("binary"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (list_ == nullptr) return Refuse("a number");
    if (list_->size() >= list_max_) return Fail(fmt::format("more than {} numbers", list_max_));
    list_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ != 2 || list_ != nullptr) return Refuse("a string");
    if (in_metadata_) {
      header.metadata[field_] = value;
      return true;
    }
    if (field_ != "dtype") return Refuse("a string");
    for (size_t i = 0; i < kTypes.size(); ++i) {
      if (kTypes[i].word == value) {
        entry_.type = static_cast<TensorType>(i);
        return true;
      }
    }
    return Fail(fmt::format("dtype is '{}' (allowed: BOOL, U8, I8, I32, I64, F16, BF16, F32, F64)",
                            base::Shorten(value, 32)));
  }

  bool start_object(size_t) override {
    if (depth_ >= 2 || list_ != nullptr) return Refuse("an object");
    ++depth_;
    fields_.clear();
    return true;
  }

  bool key(string_t& name) override {
    field_ = name;
    if (depth_ == 1) {
      if (!names_.insert(name).second) return Fail("is there twice");
      if (name.empty()) return Fail("has no name");
      in_metadata_ = name == kMetadataKey;
      entry_ = TensorEntry{name, TensorType::kF32, {}, 0, 0};
      offsets_.clear();
      return true;
    }
    if (!fields_.insert(name).second) {
      return Fail(fmt::format("field '{}' is there twice", base::Shorten(name, 64)));
    }
    if (!in_metadata_ && name != "dtype" && name != "shape" && name != "data_offsets") {
      return Fail(fmt::format("field '{}' is unknown", base::Shorten(name, 64)));
    }
    return true;
  }

  bool end_object() override {
    --depth_;
    if (depth_ != 1 || in_metadata_) return true;
    if (fields_.size() != 3) return Fail("must have dtype, shape and data_offsets");
    if (offsets_.size() != 2) return Fail("must have two data_offsets");
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    if (entry_.begin > entry_.end) return Fail("ends before it begins");
    const auto bytes = ByteCount(entry_.type, entry_.shape);
    if (!bytes) return Fail("has a shape too large to count");
    if (*bytes != entry_.size_bytes()) {
      return Fail(
          fmt::format("has {} bytes, its shape and dtype say {}", entry_.size_bytes(), *bytes));
    }
    header.tensors.push_back(std::move(entry_));
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || list_ != nullptr) return Refuse("a list");
    if (field_ == "shape") {
      list_ = &entry_.shape;
      list_max_ = kTensorRankMax;
    } else if (field_ == "data_offsets") {
      list_ = &offsets_;
      list_max_ = 2;
    } else {
      return Refuse("a list");
    }
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    if (fault.empty()) fault = fmt::format("header is not JSON at byte {}", position);
    return false;
  }

  SafetensorsHeader header;
  std::string fault;

 private:
  bool Fail(std::string_view what) {
    const std::string_view subject = depth_ == 0 ? std::string_view("header") : entry_.name;
    fault = fmt::format("tensor '{}' {}", base::Shorten(subject, 128), what);
    return false;
  }
  bool Refuse(std::string_view what) {
    if (depth_ == 0) return Fail("must be an object");
    return Fail(depth_ == 1 ? fmt::format("is {}, not an object", what)
                            : fmt::format("has {} in '{}'", what, base::Shorten(field_, 64)));
  }

  int depth_ = 0;
  bool in_metadata_ = false;
  std::string field_;
  TensorEntry entry_;
  std::vector<uint64_t> offsets_;
  std::vector<uint64_t>* list_ = nullptr;
  size_t list_max_ = 0;
  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> fields_;
};

/// Sorts by place, and checks that the tensors fill the buffer with neither hole nor overlap.
absl::Status CheckCover(std::vector<TensorEntry>& tensors, uint64_t data_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t expected = 0;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin != expected) {
      return absl::DataLossError(fmt::format("tensor '{}' begins at {}, the one before ends at {}",
                                             base::Shorten(tensor.name, 128), tensor.begin,
                                             expected));
    }
    expected = tensor.end;
  }
  if (expected != data_bytes) {
    return absl::DataLossError(
        fmt::format("tensors end at {}, the buffer at {}", expected, data_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t SizeOf(TensorType type) { return kTypes.at(static_cast<size_t>(type)).size_bytes; }

std::string_view ToWord(TensorType type) { return kTypes.at(static_cast<size_t>(type)).word; }

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json,
                                                         uint64_t data_bytes) {
  if (!json.starts_with('{')) return absl::DataLossError("header does not begin with '{'");
  HeaderReader reader;
  const bool parsed = Json::sax_parse(json.begin(), json.end(), &reader);
  if (!parsed || !reader.fault.empty()) {
    return absl::DataLossError(reader.fault.empty() ? "header is not JSON" : reader.fault);
  }
  RETURN_IF_ERROR(CheckCover(reader.header.tensors, data_bytes));
  return std::move(reader.header);
}

absl::StatusOr<std::string> MakeSafetensorsHeader(const std::vector<TensorEntry>& tensors,
                                                  const TensorMetadata& metadata) {
  Json json = Json::object();
  if (!metadata.empty()) json[kMetadataKey] = metadata;
  uint64_t offset = 0;
  for (const TensorEntry& tensor : tensors) {
    const auto bytes = ByteCount(tensor.type, tensor.shape);
    if (!bytes || __builtin_add_overflow(offset, *bytes, &offset) ||
        tensor.shape.size() > kTensorRankMax) {
      return absl::InvalidArgumentError(fmt::format("tensor '{}' is too large", tensor.name));
    }
    if (tensor.name.empty() || tensor.name == kMetadataKey || json.contains(tensor.name)) {
      return absl::InvalidArgumentError(
          fmt::format("tensor name '{}' is empty, reserved or there twice", tensor.name));
    }
    json[tensor.name] = {{"dtype", ToWord(tensor.type)},
                         {"shape", tensor.shape},
                         {"data_offsets", {offset - *bytes, offset}}};
  }
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > base::kSafetensorsHeaderBytesMax) {
    return absl::InvalidArgumentError(fmt::format("header is {} bytes (allowed: at most {})",
                                                  text.size(), base::kSafetensorsHeaderBytesMax));
  }
  return text;
}

}  // namespace bsnn::artifact
