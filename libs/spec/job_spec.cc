#include "spec/job_spec.h"

#include <absl/strings/str_join.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>

#include "base/limits.h"
#include "base/status.h"
#include "spec/spec_fields.h"

namespace bsnn::spec {
namespace {

using Json = nlohmann::json;
using base::FieldFault;

std::string Show(const Json& value) {
  return base::Shorten(value.dump(-1, ' ', false, Json::error_handler_t::replace), 128);
}

template <class Enum>
std::string AllowedWords() {
  return absl::StrJoin(kWords<Enum>, ", ",
                       [](std::string* out, std::string_view word) { out->append(word); });
}

template <class T>
std::string AllowedRange(Range range) {
  return fmt::format("{} {:.10g} to {:.10g}", std::is_integral_v<T> ? "whole number" : "number",
                     range.min, range.max);
}

template <class Enum>
std::string_view WordOf(Enum value) {
  return kWords<Enum>.at(static_cast<size_t>(value));
}

/// The JSON value at a two-part path, or null.
const Json* Find(const Json& json, std::string_view path) {
  const size_t dot = path.find('.');
  const auto section = json.find(std::string(path.substr(0, dot)));
  if (section == json.end() || !section->is_object()) return nullptr;
  const auto field = section->find(std::string(path.substr(dot + 1)));
  return field == section->end() ? nullptr : &*field;
}

class Reader {
 public:
  Reader(const Json& json, std::string_view prefix, std::vector<FieldFault>& faults)
      : json_(json), prefix_(prefix), faults_(faults) {}

  template <class Enum>
  void Choice(const char* path, Enum& field, const char*) {
    const Json* value = Take(path);
    if (value == nullptr) return;
    if (value->is_string()) {
      const auto& word = value->get_ref<const std::string&>();
      for (size_t i = 0; i < kWords<Enum>.size(); ++i) {
        if (kWords<Enum>[i] == word) {
          field = static_cast<Enum>(i);
          return;
        }
      }
    }
    Fault(path, *value, AllowedWords<Enum>());
  }

  template <class T>
  void Number(const char* path, T& field, Range range, const char*) {
    const Json* value = Take(path);
    if (value == nullptr) return;
    const double number = value->is_number() ? value->get<double>() : std::nan("");
    const bool whole = std::trunc(number) == number;
    if (number >= range.min && number <= range.max && (whole || !std::is_integral_v<T>)) {
      field = static_cast<T>(number);
      return;
    }
    Fault(path, *value, AllowedRange<T>(range));
  }

  void Flag(const char* path, bool& field, const char*) {
    const Json* value = Take(path);
    if (value == nullptr) return;
    if (value->is_boolean()) {
      field = value->get<bool>();
      return;
    }
    Fault(path, *value, "true, false");
  }

  /// After all fields were visited: whatever is left over is unknown.
  void FaultUnknown() {
    if (!json_.is_object()) {
      faults_.push_back(
          {prefix_.empty() ? "spec" : std::string(prefix_.substr(0, prefix_.size() - 1)),
           Show(json_), "an object"});
      return;
    }
    for (const auto& [section, fields] : json_.items()) {
      if (!sections_.contains(section)) {
        Fault(section, fields, "one of " + absl::StrJoin(sections_, ", "));
      } else if (!fields.is_object()) {
        Fault(section, fields, "an object");
      } else {
        for (const auto& [name, value] : fields.items()) {
          if (!known_.contains(section + "." + name)) {
            Fault(section + "." + name, value,
                  "a field of " + section + " (it has none of this name)");
          }
        }
      }
    }
  }

 private:
  const Json* Take(const char* path) {
    const std::string_view view(path);
    known_.emplace(view);
    sections_.emplace(view.substr(0, view.find('.')));
    return json_.is_object() ? Find(json_, view) : nullptr;
  }
  void Fault(std::string_view path, const Json& value, std::string allowed) {
    faults_.push_back(
        {std::string(prefix_) + base::Shorten(path, 128), Show(value), std::move(allowed)});
  }

  const Json& json_;
  std::string_view prefix_;
  std::vector<FieldFault>& faults_;
  std::set<std::string> known_;
  std::set<std::string> sections_;
};

class Writer {
 public:
  template <class Enum>
  void Choice(const char* path, Enum field, const char*) {
    At(path) = std::string(WordOf(field));
  }
  template <class T>
  void Number(const char* path, T field, Range, const char*) {
    At(path) = field;
  }
  void Flag(const char* path, bool field, const char*) { At(path) = field; }

  Json json = Json::object();

 private:
  Json& At(std::string_view path) {
    const size_t dot = path.find('.');
    return json[std::string(path.substr(0, dot))][std::string(path.substr(dot + 1))];
  }
};

class Describer {
 public:
  template <class Enum>
  void Choice(const char* path, Enum field, const char* meaning) {
    rows.push_back({path, AllowedWords<Enum>(), '"' + std::string(WordOf(field)) + '"', meaning});
  }
  template <class T>
  void Number(const char* path, T field, Range range, const char* meaning) {
    rows.push_back({path, AllowedRange<T>(range), Json(field).dump(), meaning});
  }
  void Flag(const char* path, bool field, const char* meaning) {
    rows.push_back({path, "true, false", Json(field).dump(), meaning});
  }

  std::vector<FieldDescription> rows;
};

/// What a rule may keep of the checkpoints that a job may have; the rest is for pinned ones.
constexpr int32_t kCheckpointsKeptMax = base::kCheckpointsPerJobMax * 9 / 10;

}  // namespace

void CheckTogether(const JobSpec& spec, std::string_view prefix, std::vector<FieldFault>& faults) {
  const auto is_right = [&](std::string_view path) {
    return std::none_of(faults.begin(), faults.end(), [&](const FieldFault& fault) {
      return fault.field == fmt::format("{}{}", prefix, path);
    });
  };
  const auto fault = [&](std::string_view path, std::string value, std::string allowed) {
    faults.push_back({fmt::format("{}{}", prefix, path), std::move(value), std::move(allowed)});
  };
  if (spec.schedule.warmup_epochs >= spec.training.epochs && spec.schedule.warmup_epochs > 0 &&
      is_right("schedule.warmup_epochs") && is_right("training.epochs")) {
    fault("schedule.warmup_epochs", std::to_string(spec.schedule.warmup_epochs),
          fmt::format("less than training.epochs, which is {}", spec.training.epochs));
  }
  if (spec.agmm.alpha_mode == AlphaMode::kFixed && spec.agmm.alpha_init == 0 &&
      is_right("agmm.alpha_mode") && is_right("agmm.alpha_init")) {
    fault("agmm.alpha_init", "0", "above 0 where agmm.alpha_mode is fixed: 0 silences every layer");
  }
  const int32_t kept = spec.checkpoint.keep_latest + spec.checkpoint.keep_best;
  if (kept > kCheckpointsKeptMax && is_right("checkpoint.keep_latest") &&
      is_right("checkpoint.keep_best")) {
    fault("checkpoint.keep_latest", std::to_string(spec.checkpoint.keep_latest),
          fmt::format("at most {} less checkpoint.keep_best, which is {}: pinned ones need room",
                      kCheckpointsKeptMax, spec.checkpoint.keep_best));
  }
  if (spec.data.frame_side != 0 && spec.data.frame_values == FrameValues::kCounts &&
      is_right("data.frame_side") && is_right("data.frame_values")) {
    fault("data.frame_values", "\"counts\"",
          "share_of_max where data.frame_side is not 0: small counts do not survive resizing");
  }
  const OptimizerName optimizer = spec.optimizer.name;
  if ((optimizer == OptimizerName::kBop || optimizer == OptimizerName::kTbso) &&
      is_right("optimizer.name")) {
    // These rules keep no latent weight: what they flip is the weight itself.
    if (spec.network.kind == NetworkKind::kSnn && is_right("network.kind")) {
      fault("network.kind", "\"snn\"",
            fmt::format("bsnn_agmm, bsnn where optimizer.name is {}", WordOf(optimizer)));
    }
    if (spec.binarization.method != Binarization::kSign && is_right("binarization.method")) {
      fault("binarization.method", fmt::format("\"{}\"", WordOf(spec.binarization.method)),
            fmt::format("sign where optimizer.name is {}", WordOf(optimizer)));
    }
  }
  const bool has_latent_weights = spec.network.kind != NetworkKind::kSnn &&
                                  optimizer != OptimizerName::kBop &&
                                  optimizer != OptimizerName::kTbso;
  if (spec.optimizer.binary_rate_factor != 1 && !has_latent_weights &&
      is_right("optimizer.binary_rate_factor") && is_right("optimizer.name") &&
      is_right("network.kind")) {
    fault(
        "optimizer.binary_rate_factor", fmt::format("{}", spec.optimizer.binary_rate_factor),
        "1 where network.kind is snn or optimizer.name is bop or t_bso: no latent binary weights");
  }
  const bool in_folders = spec.data.name == DataName::kImageFolder;
  if (spec.augmentation.resized_crop && !in_folders && is_right("augmentation.resized_crop") &&
      is_right("data.name")) {
    fault("augmentation.resized_crop", "true",
          fmt::format("false where data.name is {}", WordOf(spec.data.name)));
  }
  const bool in_colour =
      in_folders || spec.data.name == DataName::kCifar10 || spec.data.name == DataName::kCifar100;
  if (spec.augmentation.auto_augment && !in_colour && is_right("augmentation.auto_augment") &&
      is_right("data.name")) {
    fault("augmentation.auto_augment", "true",
          fmt::format("false where data.name is {}: its pictures are not in colour",
                      WordOf(spec.data.name)));
  }
  if (spec.training.batch_parts > spec.training.batch_size && is_right("training.batch_parts") &&
      is_right("training.batch_size")) {
    fault("training.batch_parts", std::to_string(spec.training.batch_parts),
          fmt::format("at most training.batch_size, which is {}", spec.training.batch_size));
  }
}

JobSpec FromJson(const Json& json, std::string_view prefix, std::vector<FieldFault>& faults) {
  JobSpec spec;
  Reader reader(json, prefix, faults);
  VisitFields(reader, spec);
  reader.FaultUnknown();
  CheckTogether(spec, prefix, faults);
  return spec;
}

absl::StatusOr<JobSpec> ParseJobSpec(std::string_view text) {
  if (text.size() > base::kSpecBytesMax) {
    return absl::ResourceExhaustedError(
        fmt::format("spec is {} bytes (allowed: at most {})", text.size(), base::kSpecBytesMax));
  }
  // A depth bound: the parser recurses on nothing, but destroying deep nesting does.
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= 8; };
  const Json json =
      Json::parse(text, shallow, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  if (json.is_discarded()) {
    return base::InvalidFields({{"spec", base::Shorten(text, 64), "a JSON object (docs/spec.md)"}});
  }
  std::vector<FieldFault> faults;
  JobSpec spec = FromJson(json, "", faults);
  if (!faults.empty()) return base::InvalidFields(faults);
  return spec;
}

void Validate(const JobSpec& spec, std::string_view prefix, std::vector<FieldFault>& faults) {
  FromJson(ToJson(spec), prefix, faults);
}

Json ToJson(const JobSpec& spec) {
  Writer writer;
  VisitFields(writer, spec);
  return std::move(writer.json);
}

std::string CanonicalText(const JobSpec& spec) { return ToJson(spec).dump(); }

std::vector<FieldDescription> DescribeFields() {
  Describer describer;
  const JobSpec defaults;
  VisitFields(describer, defaults);
  return std::move(describer.rows);
}

std::string_view ToWord(NetworkName value) { return WordOf(value); }
std::string_view ToWord(NetworkKind value) { return WordOf(value); }
std::string_view ToWord(OptimizerName value) { return WordOf(value); }
std::string_view ToWord(Binarization value) { return WordOf(value); }
std::string_view ToWord(DataName value) { return WordOf(value); }
std::optional<DataName> FindDataName(std::string_view word) {
  const auto& words = kWords<DataName>;
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) return std::nullopt;
  return static_cast<DataName>(found - words.begin());
}
std::string_view ToWord(DvsSplit value) { return WordOf(value); }
std::string_view ToWord(Device value) { return WordOf(value); }

}  // namespace bsnn::spec
