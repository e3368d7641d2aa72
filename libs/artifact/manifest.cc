#include "artifact/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "artifact/digest.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::artifact {
namespace {

using Json = nlohmann::json;
using base::FieldFault;

constexpr char kFormat[] = "bsnn-checkpoint";
constexpr int kVersion = 1;
constexpr int kDepthMax = 10;

std::string Show(const Json* value) {
  if (value == nullptr) return "absent";
  return base::Shorten(value->dump(-1, ' ', false, Json::error_handler_t::replace), 128);
}

/// Parses `text`, refusing what the library would let pass: a key twice in one object, and deep
/// nesting (destroying it recurses).
absl::StatusOr<Json> ParseStrictly(std::string_view text) {
  std::vector<std::set<std::string>> keys;
  std::string fault;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kDepthMax && fault.empty()) fault = "nested too deeply";
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second && fault.empty()) {
        fault = fmt::format("key '{}' is there twice", base::Shorten(key, 64));
      }
    }
    return fault.empty();
  };
  Json json = Json::parse(text, check, /*allow_exceptions=*/false);
  if (fault.empty() && !json.is_object()) fault = fmt::format("'{}'", base::Shorten(text, 64));
  if (!fault.empty()) return base::InvalidFields({{"manifest", fault, "a JSON object"}});
  return json;
}

/// Reads the fields of one object, gathering faults. Finish() reports what is unknown.
class ObjectReader {
 public:
  ObjectReader(const Json& json, std::string prefix, std::vector<FieldFault>& faults)
      : json_(json), prefix_(std::move(prefix)), faults_(faults) {}

  const Json* Find(const char* name) {
    known_.insert(name);
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  uint64_t Whole(const char* name, uint64_t max) {
    const Json* value = Find(name);
    if (value != nullptr && value->is_number_unsigned() && value->get<uint64_t>() <= max) {
      return value->get<uint64_t>();
    }
    Fault(name, fmt::format("whole number 0 to {}", max));
    return 0;
  }
  template <class Check>
  std::string Text(const char* name, const Check& check, std::string_view allowed) {
    const Json* value = Find(name);
    if (value != nullptr && value->is_string() && check(value->get_ref<const std::string&>())) {
      return value->get<std::string>();
    }
    Fault(name, allowed);
    return "";
  }
  void Fault(const char* name, std::string_view allowed) {
    faults_.push_back({prefix_ + name, Show(Find(name)), std::string(allowed)});
  }
  void Finish() {
    for (const auto& [name, value] : json_.items()) {
      if (known_.contains(name)) continue;
      faults_.push_back({prefix_ + base::Shorten(name, 64), Show(&value), "no such field"});
    }
  }

 private:
  const Json& json_;
  std::string prefix_;
  std::vector<FieldFault>& faults_;
  std::set<std::string> known_;
};

double ReadRatio(ObjectReader& reader, const char* name) {
  const Json* value = reader.Find(name);
  if (value != nullptr && value->is_number()) {
    const double number = value->get<double>();
    if (number >= 0 && number <= 1) return number;
  }
  if (value == nullptr || *value != "NaN") reader.Fault(name, "number 0 to 1, or \"NaN\"");
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<ManifestFile> ReadFiles(ObjectReader& reader, std::vector<FieldFault>& faults) {
  const Json* list = reader.Find("files");
  if (list == nullptr || !list->is_array() || list->empty() ||
      list->size() > size_t{base::kCheckpointFilesMax}) {
    reader.Fault("files", fmt::format("a list of 1 to {} files", base::kCheckpointFilesMax));
    return {};
  }
  std::vector<ManifestFile> files;
  for (const Json& item : *list) {
    const std::string prefix = fmt::format("manifest.files[{}]", files.size());
    if (!item.is_object()) {
      faults.push_back({prefix, Show(&item), "an object"});
      return {};
    }
    ObjectReader fields(item, prefix + ".", faults);
    ManifestFile file;
    file.name = fields.Text("name", IsFileName, "[a-z0-9_.-]{1,63}, not ., .., manifest.json");
    file.size_bytes = fields.Whole("size_bytes", base::kCheckpointFileBytesMax);
    file.sha256 = fields.Text("sha256", IsSha256Hex, "64 lower-case hexadecimal digits");
    fields.Finish();
    if (!files.empty() && files.back().name >= file.name) {
      faults.push_back({prefix + ".name", file.name, "names in ascending order, each once"});
    }
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace

bool IsFileName(std::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  if (name == "." || name == ".." || name == kManifestName) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  });
}

std::string ToText(const Manifest& manifest) {
  std::vector<ManifestFile> files = manifest.files;
  std::sort(files.begin(), files.end(),
            [](const ManifestFile& a, const ManifestFile& b) { return a.name < b.name; });
  Json list = Json::array();
  for (const ManifestFile& file : files) {
    list.push_back({{"name", file.name}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"kind", manifest.kind},
               {"step", manifest.step},
               {"epoch", manifest.epoch},
               {"accuracy_ratio",
                std::isnan(manifest.accuracy_ratio) ? Json("NaN") : Json(manifest.accuracy_ratio)},
               {"spec", Json::parse(manifest.spec, nullptr, /*allow_exceptions=*/false)},
               {"files", std::move(list)}};
  std::string text = json.dump(2) + "\n";
  BSNN_CHECK(ParseManifest(text).ok());
  return text;
}

absl::StatusOr<Manifest> ParseManifest(std::string_view text) {
  if (text.size() > base::kManifestBytesMax) {
    return absl::ResourceExhaustedError(fmt::format("manifest is {} bytes (allowed: at most {})",
                                                    text.size(), base::kManifestBytesMax));
  }
  ASSIGN_OR_RETURN(const Json json, ParseStrictly(text));
  std::vector<FieldFault> faults;
  ObjectReader reader(json, "manifest.", faults);
  Manifest manifest;
  reader.Text(
      "format", [](const std::string& v) { return v == kFormat; }, kFormat);
  const Json* version = reader.Find("version");
  if (version == nullptr || *version != kVersion) {
    reader.Fault("version", "1 (a newer version needs a newer program)");
  }
  manifest.kind = reader.Text(
      "kind", [](const std::string& v) { return v == "full"; }, "full");
  manifest.step = static_cast<int64_t>(
      reader.Whole("step", static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
  manifest.epoch = static_cast<int32_t>(
      reader.Whole("epoch", static_cast<uint64_t>(std::numeric_limits<int32_t>::max())));
  manifest.accuracy_ratio = ReadRatio(reader, "accuracy_ratio");
  const Json* spec = reader.Find("spec");
  if (spec == nullptr || !spec->is_object()) {
    reader.Fault("spec", "an object");
  } else {
    manifest.spec = spec->dump();
  }
  manifest.files = ReadFiles(reader, faults);
  reader.Finish();
  if (!faults.empty()) return base::InvalidFields(faults);
  return manifest;
}

}  // namespace bsnn::artifact
