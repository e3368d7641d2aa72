#include "blob/errors.h"

#include <fmt/format.h>

#include "base/fault.h"
#include "base/limits.h"

namespace bsnn::blob {

absl::Status WrongOffset(const Key& key, uint64_t offset, uint64_t size) {
  return absl::OutOfRangeError(
      fmt::format("blob {}: appending at {}, but {} bytes are there", key.text(), offset, size));
}

absl::Status AlreadyPublished(const Key& key) {
  return absl::AlreadyExistsError(fmt::format("blob {} is published", key.text()));
}

absl::Status TooLarge(const Key& key) {
  return base::WithReason(
      absl::ResourceExhaustedError(fmt::format("blob {} would be larger than {} bytes", key.text(),
                                               base::kCheckpointFileBytesMax)),
      {"LIMIT_EXCEEDED", {{"limit", "checkpoint file"}}});
}

absl::Status NotPublished(const Key& key) {
  return absl::NotFoundError(fmt::format("there is no blob {}", key.text()));
}

absl::Status BeyondEnd(const Key& key, uint64_t offset, uint64_t size) {
  return absl::OutOfRangeError(
      fmt::format("blob {}: offset {} is beyond its {} bytes", key.text(), offset, size));
}

absl::Status WrongContent(const Key& key, std::string_view expected, std::string_view met) {
  return base::WithReason(absl::DataLossError(fmt::format("blob {}: expected {}, received {}",
                                                          key.text(), expected, met)),
                          {"DIGEST_MISMATCH", {{"key", key.text()}}});
}

bool IsAtOrBelow(const Key& key, const Key& root) {
  const std::string& at = root.text();
  if (at.empty() || key == root) return true;
  return key.text().size() > at.size() && key.text().starts_with(at) &&
         key.text()[at.size()] == '/';
}

}  // namespace bsnn::blob
