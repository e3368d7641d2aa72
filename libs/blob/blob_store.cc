#include "blob/blob_store.h"

#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include "base/fault.h"

namespace bsnn::blob {
namespace {

constexpr size_t kPartsMax = 4;
constexpr size_t kPartBytesMax = 63;

bool IsPart(std::string_view part) {
  if (part.empty() || part.size() > kPartBytesMax || part == "." || part == "..") return false;
  for (const char c : part) {
    const bool allowed =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    if (!allowed) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Key> Key::Make(const std::vector<std::string>& parts) {
  if (parts.empty() || parts.size() > kPartsMax) {
    return base::InvalidFields(
        {{"key", fmt::format("{} parts", parts.size()), fmt::format("1 to {}", kPartsMax)}});
  }
  for (const std::string& part : parts) {
    if (!IsPart(part)) {
      return base::InvalidFields({{"key", base::Shorten("'" + part + "'", 128),
                                   "parts of [a-z0-9_.-]{1,63} other than . and .."}});
    }
  }
  return Key(absl::StrJoin(parts, "/"));
}

absl::StatusOr<Key> Key::Parse(std::string_view text) {
  return Make(absl::StrSplit(absl::string_view(text.data(), text.size()), '/'));
}

}  // namespace bsnn::blob
