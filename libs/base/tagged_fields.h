/// Tagged fields: the binary form of small records that are kept for years.
///
/// A record is a row of fields; a field is a tag and a value. The tag is a varint, number * 4 +
/// kind.
///
///   kind 0, integer   zigzag varint           field 3 = -1     0c 01
///   kind 1, number    8 bytes, little-endian  field 4 = 0.5    11 00 00 00 00 00 00 e0 3f
///   kind 2, bytes     length as varint, data  field 5 = "ab"   16 02 61 62
///
/// A reader can pass over a field whose number it does not know. Who calls decides whether it may.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bsnn::base {

enum class TaggedKind : uint8_t { kInteger = 0, kNumber = 1, kBytes = 2 };

/// Appends fields to `out`. Thread-compatible. Borrows `out`.
class TaggedWriter {
 public:
  explicit TaggedWriter(std::string& out) : out_(out) {}
  void Integer(uint32_t number, int64_t value);
  void Number(uint32_t number, double value);
  void Bytes(uint32_t number, std::string_view value);

 private:
  void Varint(uint64_t value);
  void Tag(uint32_t number, TaggedKind kind);
  std::string& out_;
};

/// Reads fields one by one from bytes of any content. Thread-compatible. Borrows the bytes.
class TaggedReader {
 public:
  explicit TaggedReader(std::string_view bytes) : rest_(bytes) {}

  /// Goes to the next field. False at the end, and where the bytes are broken: ask `broken`.
  bool Next();
  bool broken() const { return broken_; }

  uint32_t number() const { return number_; }
  TaggedKind kind() const { return kind_; }
  int64_t integer() const { return integer_; }       ///< of kInteger
  double real() const { return real_; }              ///< of kNumber
  std::string_view bytes() const { return bytes_; }  ///< of kBytes; a view of the input

 private:
  bool Varint(uint64_t& value);
  bool ReadValue();

  std::string_view rest_;
  bool broken_ = false;
  uint32_t number_ = 0;
  TaggedKind kind_ = TaggedKind::kInteger;
  int64_t integer_ = 0;
  double real_ = 0;
  std::string_view bytes_;
};

}  // namespace bsnn::base
