#include "base/fault.h"

#include <absl/strings/cord.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/check.h"

namespace bsnn::base {
namespace {

using Json = nlohmann::json;

constexpr char kFaultsUrl[] = "bsnn/field-faults";
constexpr char kReasonUrl[] = "bsnn/reason";

absl::Cord Dump(const Json& json) {
  return absl::Cord(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json LoadPayload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  if (!payload) return Json();
  return Json::parse(std::string(*payload), nullptr, /*allow_exceptions=*/false);
}

}  // namespace

absl::Status InvalidFields(const std::vector<FieldFault>& faults) {
  BSNN_CHECK(!faults.empty());
  std::string message =
      fmt::format("{} wrong field{}", faults.size(), faults.size() == 1 ? "" : "s");
  Json payload = Json::array();
  for (const FieldFault& fault : faults) {
    message += fmt::format("{} {} is {} (allowed: {})", payload.empty() ? ":" : ";", fault.field,
                           fault.value, fault.allowed);
    payload.push_back({fault.field, fault.value, fault.allowed});
  }
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kFaultsUrl, Dump(payload));
  return status;
}

std::vector<FieldFault> FaultsOf(const absl::Status& status) {
  std::vector<FieldFault> faults;
  for (const Json& item : LoadPayload(status, kFaultsUrl)) {
    faults.push_back({item.at(0), item.at(1), item.at(2)});
  }
  return faults;
}

absl::Status WithReason(absl::Status status, const Reason& reason) {
  status.SetPayload(kReasonUrl, Dump({{"reason", reason.reason}, {"metadata", reason.metadata}}));
  return status;
}

Reason ReasonOf(const absl::Status& status) {
  const Json payload = LoadPayload(status, kReasonUrl);
  if (!payload.is_object()) return {};
  return {payload.at("reason"), payload.at("metadata")};
}

std::string Shorten(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  size_t end = bytes_max < 3 ? 0 : bytes_max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace bsnn::base
