#include "server/api/page_token.h"

#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <fmt/format.h>

#include "artifact/digest.h"
#include "base/fault.h"
#include "base/status.h"

namespace bsnn::api {
namespace {

constexpr size_t kCheckCharacters = 16;
constexpr size_t kTokenBytesMax = 512;

std::string CheckText(std::string_view scope, std::string_view place) {
  return artifact::Sha256Hex(fmt::format("{}\n{}\n{}", scope.size(), scope, place))
      .substr(0, kCheckCharacters);
}

absl::Status BadToken(std::string_view field, std::string_view token) {
  return base::WithReason(
      base::InvalidFields({{std::string(field), "'" + base::Shorten(token, 64) + "'",
                            "a token of the reply before, with the other fields unchanged"}}),
      {"PAGE_TOKEN_INVALID", {{"field", std::string(field)}}});
}

}  // namespace

std::string MakePageToken(std::string_view scope, std::string_view place) {
  const std::string plain = CheckText(scope, place) + std::string(place);
  return absl::WebSafeBase64Escape(plain);
}

absl::StatusOr<std::string> ReadPageToken(std::string_view field, std::string_view scope,
                                          std::string_view token) {
  if (token.empty()) return "";
  std::string plain;
  if (token.size() > kTokenBytesMax ||
      !absl::WebSafeBase64Unescape(absl::string_view(token.data(), token.size()), &plain) ||
      plain.size() < kCheckCharacters) {
    return BadToken(field, token);
  }
  std::string place = plain.substr(kCheckCharacters);
  if (plain.substr(0, kCheckCharacters) != CheckText(scope, place)) return BadToken(field, token);
  return place;
}

absl::StatusOr<int64_t> ReadNumberToken(std::string_view field, std::string_view scope,
                                        std::string_view token) {
  ASSIGN_OR_RETURN(const std::string place, ReadPageToken(field, scope, token));
  int64_t number = 0;
  if (!place.empty() && (!absl::SimpleAtoi(place, &number) || number < 0)) {
    return BadToken(field, token);
  }
  return number;
}

}  // namespace bsnn::api
