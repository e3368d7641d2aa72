/// A job spec's fields as a table: where each lies, and what it may be. Made once from
/// spec_fields.h; for code that carries specs without going through text.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/job_spec.h"

namespace bsnn::spec {

enum class FieldKind {
  kChoice,   ///< an enum; its value is an index of `words`
  kInteger,  ///< int32_t
  kNumber,   ///< double
  kFlag,     ///< bool
};

struct Field {
  std::string_view section;  ///< "network"
  std::string_view name;     ///< "time_steps"
  std::string_view path;     ///< "network.time_steps"
  FieldKind kind = FieldKind::kFlag;
  size_t offset = 0;                        ///< of its member in JobSpec
  std::span<const std::string_view> words;  ///< of kChoice
  double min = 0;                           ///< of kInteger and kNumber
  double max = 0;
};

/// Every field, section by section, in the order of DescribeFields. Immutable.
const std::vector<Field>& FieldTable();

/// What it may be, for people: "whole number 1 to 64".
std::string AllowedText(const Field& field);

/// The member of `spec`. T is int32_t for kChoice and kInteger, double for kNumber, bool for kFlag.
template <class T>
T GetMember(const JobSpec& spec, const Field& field) {
  T value;
  std::memcpy(&value, reinterpret_cast<const char*>(&spec) + field.offset, sizeof(value));
  return value;
}
template <class T>
void SetMember(JobSpec& spec, const Field& field, T value) {
  std::memcpy(reinterpret_cast<char*>(&spec) + field.offset, &value, sizeof(value));
}

}  // namespace bsnn::spec
