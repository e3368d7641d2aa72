#include "server/api/request_check.h"

#include <algorithm>
#include <cctype>

namespace bsnn::api {

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
