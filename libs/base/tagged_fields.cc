#include "base/tagged_fields.h"

#include <bit>
#include <cstring>

namespace bsnn::base {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie");

void TaggedWriter::Varint(uint64_t value) {
  while (value >= 0x80) {
    out_.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out_.push_back(static_cast<char>(value));
}

void TaggedWriter::Tag(uint32_t number, TaggedKind kind) {
  Varint(uint64_t{number} << 2 | static_cast<uint64_t>(kind));
}

void TaggedWriter::Integer(uint32_t number, int64_t value) {
  Tag(number, TaggedKind::kInteger);
  Varint(static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
}

void TaggedWriter::Number(uint32_t number, double value) {
  Tag(number, TaggedKind::kNumber);
  out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void TaggedWriter::Bytes(uint32_t number, std::string_view value) {
  Tag(number, TaggedKind::kBytes);
  Varint(value.size());
  out_.append(value);
}

bool TaggedReader::Varint(uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < rest_.size() && i < 10; ++i) {
    const auto byte = static_cast<uint8_t>(rest_[i]);
    value |= uint64_t{byte & 0x7fU} << (7 * i);
    if (byte < 0x80) {
      rest_.remove_prefix(i + 1);
      return i < 9 || byte <= 1;
    }
  }
  return false;
}

bool TaggedReader::Next() {
  if (rest_.empty() || broken_) return false;
  broken_ = !ReadValue();
  return !broken_;
}

bool TaggedReader::ReadValue() {
  uint64_t tag = 0;
  if (!Varint(tag) || tag >> 2 > UINT32_MAX || (tag & 3) > 2) return false;
  number_ = static_cast<uint32_t>(tag >> 2);
  kind_ = static_cast<TaggedKind>(tag & 3);
  uint64_t value = 0;
  switch (kind_) {
    case TaggedKind::kInteger:
      if (!Varint(value)) return false;
      integer_ = static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1));
      return true;
    case TaggedKind::kNumber:
      if (rest_.size() < sizeof(real_)) return false;
      std::memcpy(&real_, rest_.data(), sizeof(real_));
      rest_.remove_prefix(sizeof(real_));
      return true;
    case TaggedKind::kBytes:
      if (!Varint(value) || value > rest_.size()) return false;
      bytes_ = rest_.substr(0, value);
      rest_.remove_prefix(value);
      return true;
  }
  return false;
}

}  // namespace bsnn::base
