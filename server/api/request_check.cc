#include "server/api/request_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/limits.h"

namespace bsnn::api {
namespace {

constexpr size_t kLabelKeyBytesMax = 63;
constexpr size_t kLabelValueCharactersMax = 128;

bool IsLabelKey(std::string_view key) {
  if (key.empty() || key.size() > kLabelKeyBytesMax) return false;
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

}  // namespace

void RequestCheck::Add(std::string field, std::string value, std::string allowed) {
  if (faults_.size() >= kFaultsMax) return;
  faults_.push_back({std::move(field), base::Shorten(value, 128), std::move(allowed)});
}

void RequestCheck::Require(bool right, std::string field, std::string value, std::string allowed) {
  if (!right) Add(std::move(field), std::move(value), std::move(allowed));
}

void RequestCheck::AddFaultsOf(const absl::Status& status, std::string_view prefix) {
  for (base::FieldFault& fault : base::FaultsOf(status)) {
    Add(std::string(prefix) + fault.field, std::move(fault.value), std::move(fault.allowed));
  }
  if (base::FaultsOf(status).empty()) {
    Add(std::string(prefix), std::string(status.message()), "a valid value");
  }
}

absl::Status RequestCheck::status() const {
  return faults_.empty() ? absl::OkStatus() : base::InvalidFields(faults_);
}

int PageSize(RequestCheck& check, int asked, int default_size, int size_max) {
  check.Require(asked >= 0, "page_size", std::to_string(asked),
                "0 for the default, or 1 to " + std::to_string(size_max));
  return asked == 0 ? default_size : std::clamp(asked, 1, size_max);
}

size_t CharactersOf(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void CheckLabels(RequestCheck& check, std::string_view field,
                 const std::map<std::string, std::string>& labels) {
  check.Require(labels.size() <= base::kLabelsMax, std::string(field),
                fmt::format("{} labels", labels.size()),
                fmt::format("at most {}", base::kLabelsMax));
  for (const auto& [key, value] : labels) {
    const std::string at = fmt::format("{}.{}", field, base::Shorten(key, kLabelKeyBytesMax));
    check.Require(IsLabelKey(key), at, "'" + key + "' as key",
                  "a key [a-z0-9_-] of 1 to 63 characters");
    check.Require(CharactersOf(value) <= kLabelValueCharactersMax, at, value,
                  "at most 128 characters");
  }
}

void Refuse(RequestCheck& check, bool is_set, std::string field, std::string value) {
  check.Require(!is_set, std::move(field), std::move(value),
                "to be left out: this release does not honour it");
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) {
      return false;
    }
  }
  return true;
}

}  // namespace bsnn::api
