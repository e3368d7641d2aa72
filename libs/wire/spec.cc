#include "wire/spec.h"

#include <absl/strings/str_join.h>
#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "spec/field_table.h"

// One table, made once: each field of a message beside its member of JobSpec, found by their names.
// For instance "network.time_steps" is field 3 of NetworkSpec and an int32_t 8 bytes into JobSpec.
// libs/spec alone knows ranges, words and defaults.
namespace bsnn::wire {
namespace {

using base::FieldFault;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using spec::FieldKind;

constexpr size_t kUnknownFieldsNamedMax = 8;

struct Entry {
  const spec::Field* field;
  const FieldDescriptor* descriptor;  // in its section
};
struct Section {
  std::string_view name;
  const FieldDescriptor* descriptor;  // in JobSpec
  const Reflection* reflection;       // of the section's message
  std::vector<Entry> entries;
};

/// The sections in the order of spec::FieldTable.
const std::vector<Section>& Sections() {
  static const auto* const sections = [] {
    auto* made = new std::vector<Section>();
    const v1::JobSpec prototype;
    for (const spec::Field& field : spec::FieldTable()) {
      if (made->empty() || made->back().name != field.section) {
        const auto* descriptor =
            v1::JobSpec::descriptor()->FindFieldByName(std::string(field.section));
        BSNN_CHECK(descriptor != nullptr);
        const auto& part = prototype.GetReflection()->GetMessage(prototype, descriptor);
        made->push_back({field.section, descriptor, part.GetReflection(), {}});
      }
      const auto* descriptor =
          made->back().descriptor->message_type()->FindFieldByName(std::string(field.name));
      BSNN_CHECK(descriptor != nullptr);
      made->back().entries.push_back({&field, descriptor});
    }
    return made;
  }();
  return *sections;
}

/// The value as JSON says it; what JSON has no form for as a string, as protobuf does.
std::string Show(double value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  return nlohmann::json(value).dump();
}
std::string Show(const std::string& value) {
  using Json = nlohmann::json;
  return base::Shorten(Json(value).dump(-1, ' ', false, Json::error_handler_t::replace), 128);
}

/// Reads the fields of one section that are there.
class SectionReader {
 public:
  SectionReader(const Section& section, const Message& message, std::string_view prefix,
                std::vector<FieldFault>& faults, spec::JobSpec& spec)
      : section_(section), message_(message), prefix_(prefix), faults_(faults), spec_(spec) {}

  void Read() {
    for (const Entry& entry : section_.entries) {
      if (section_.reflection->HasField(message_, entry.descriptor)) ReadField(entry);
    }
  }

 private:
  void ReadField(const Entry& entry) {
    const spec::Field& field = *entry.field;
    const Reflection& from = *section_.reflection;
    switch (field.kind) {
      case FieldKind::kChoice: {
        const std::string& word = from.GetStringReference(message_, entry.descriptor, &scratch_);
        const auto found = std::find(field.words.begin(), field.words.end(), word);
        if (found == field.words.end()) return Fault(field, Show(word));
        return SetMember(spec_, field, static_cast<int32_t>(found - field.words.begin()));
      }
      case FieldKind::kInteger: {
        const int32_t value = from.GetInt32(message_, entry.descriptor);
        if (value < field.min || value > field.max) return Fault(field, std::to_string(value));
        return SetMember(spec_, field, value);
      }
      case FieldKind::kNumber: {
        const double value = from.GetDouble(message_, entry.descriptor);
        // Written so that NaN is outside.
        if (!(value >= field.min && value <= field.max)) return Fault(field, Show(value));
        return SetMember(spec_, field, value);
      }
      case FieldKind::kFlag:
        return SetMember(spec_, field, from.GetBool(message_, entry.descriptor));
    }
  }

  void Fault(const spec::Field& field, std::string value) {
    faults_.push_back(
        {fmt::format("{}{}", prefix_, field.path), std::move(value), AllowedText(field)});
  }

  const Section& section_;
  const Message& message_;
  const std::string_view prefix_;
  std::vector<FieldFault>& faults_;
  spec::JobSpec& spec_;
  std::string scratch_;
};

/// One fault, of `where`, that names the fields by their numbers.
void FaultUnknown(const Message& message, std::string where, std::vector<FieldFault>& faults) {
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  if (unknown.empty()) return;
  std::set<int> numbers;
  for (int i = 0; i < unknown.field_count(); ++i) numbers.insert(unknown.field(i).number());
  const size_t more = numbers.size() - std::min(numbers.size(), kUnknownFieldsNamedMax);
  while (numbers.size() > kUnknownFieldsNamedMax) numbers.erase(std::prev(numbers.end()));
  faults.push_back(
      {std::move(where),
       fmt::format("has fields of another version, by number {}{}", absl::StrJoin(numbers, ", "),
                   more > 0 ? fmt::format(" and {} more", more) : ""),
       fmt::format("fields of spec version {}", spec::kSpecVersion)});
}

}  // namespace

spec::JobSpec FromProto(const v1::JobSpec& message, std::string_view prefix,
                        std::vector<FieldFault>& faults) {
  spec::JobSpec spec;
  const Reflection& reflection = *message.GetReflection();
  for (const Section& section : Sections()) {
    if (!reflection.HasField(message, section.descriptor)) continue;
    const Message& part = reflection.GetMessage(message, section.descriptor);
    SectionReader(section, part, prefix, faults, spec).Read();
    FaultUnknown(part, fmt::format("{}{}", prefix, section.name), faults);
  }
  FaultUnknown(message, prefix.empty() ? "spec" : std::string(prefix.substr(0, prefix.size() - 1)),
               faults);
  spec::CheckTogether(spec, prefix, faults);
  return spec;
}

void Write(const spec::JobSpec& spec, v1::JobSpec& message) {
  const Reflection& reflection = *message.GetReflection();
  for (const Section& section : Sections()) {
    Message* part = reflection.MutableMessage(&message, section.descriptor);
    const Reflection& to = *section.reflection;
    for (const Entry& entry : section.entries) {
      const spec::Field& field = *entry.field;
      switch (field.kind) {
        case FieldKind::kChoice:
          to.SetString(
              part, entry.descriptor,
              std::string(field.words[static_cast<size_t>(spec::GetMember<int32_t>(spec, field))]));
          break;
        case FieldKind::kInteger:
          to.SetInt32(part, entry.descriptor, spec::GetMember<int32_t>(spec, field));
          break;
        case FieldKind::kNumber:
          to.SetDouble(part, entry.descriptor, spec::GetMember<double>(spec, field));
          break;
        case FieldKind::kFlag:
          to.SetBool(part, entry.descriptor, spec::GetMember<bool>(spec, field));
          break;
      }
    }
  }
}

v1::JobSpec ToProto(const spec::JobSpec& spec) {
  v1::JobSpec message;
  Write(spec, message);
  return message;
}

}  // namespace bsnn::wire
