#include "spec/field_table.h"

#include <absl/strings/str_join.h>
#include <fmt/format.h>

#include <type_traits>

#include "spec/spec_fields.h"

namespace bsnn::spec {
namespace {

static_assert(std::is_standard_layout_v<JobSpec> && std::is_trivially_copyable_v<JobSpec>,
              "members are found by their offsets");

class TableMaker {
 public:
  explicit TableMaker(const JobSpec& spec) : spec_(spec) {}

  template <class Enum>
  void Choice(const char* path, const Enum& member, const char*) {
    static_assert(std::is_same_v<std::underlying_type_t<Enum>, int32_t>);
    Add(path, FieldKind::kChoice, member).words = kWords<Enum>;
  }
  template <class T>
  void Number(const char* path, const T& member, Range range, const char*) {
    static_assert(std::is_same_v<T, int32_t> || std::is_same_v<T, double>);
    Field& field =
        Add(path, std::is_same_v<T, double> ? FieldKind::kNumber : FieldKind::kInteger, member);
    field.min = range.min;
    field.max = range.max;
  }
  void Flag(const char* path, const bool& member, const char*) {
    Add(path, FieldKind::kFlag, member);
  }

  std::vector<Field> table;

 private:
  template <class T>
  Field& Add(std::string_view path, FieldKind kind, const T& member) {
    const size_t dot = path.find('.');
    const auto offset =
        reinterpret_cast<const char*>(&member) - reinterpret_cast<const char*>(&spec_);
    return table.emplace_back(Field{.section = path.substr(0, dot),
                                    .name = path.substr(dot + 1),
                                    .path = path,
                                    .kind = kind,
                                    .offset = static_cast<size_t>(offset)});
  }
  const JobSpec& spec_;
};

}  // namespace

const std::vector<Field>& FieldTable() {
  static const auto* const table = [] {
    const JobSpec spec;
    TableMaker maker(spec);
    VisitFields(maker, spec);
    return new std::vector<Field>(std::move(maker.table));
  }();
  return *table;
}

std::string AllowedText(const Field& field) {
  switch (field.kind) {
    case FieldKind::kChoice:
      return absl::StrJoin(field.words, ", ",
                           [](std::string* out, std::string_view word) { out->append(word); });
    case FieldKind::kInteger:
      return fmt::format("whole number {:.10g} to {:.10g}", field.min, field.max);
    case FieldKind::kNumber:
      return fmt::format("number {:.10g} to {:.10g}", field.min, field.max);
    case FieldKind::kFlag:
      break;
  }
  return "true, false";
}

}  // namespace bsnn::spec
