#include "wire/spec.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"

// Message and plain values have the same names, so the JSON form carries one into the other and
// libs/spec alone knows ranges and defaults. A test holds the two sets of fields together.
namespace bsnn::wire {
namespace json_util = google::protobuf::util;

spec::JobSpec FromProto(const v1::JobSpec& message, std::string_view prefix,
                        std::vector<base::FieldFault>& faults) {
  json_util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!json_util::MessageToJsonString(message, &text, options).ok()) {
    faults.push_back({std::string(prefix), "a message that has no JSON form", "UTF-8 strings"});
    return {};
  }
  return spec::FromJson(nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false), prefix,
                        faults);
}

v1::JobSpec ToProto(const spec::JobSpec& spec) {
  v1::JobSpec message;
  BSNN_CHECK(json_util::JsonStringToMessage(spec::CanonicalText(spec), &message).ok());
  return message;
}

}  // namespace bsnn::wire
