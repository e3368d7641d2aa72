/// The errors that every BlobStore adapter gives in the same words.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string_view>

#include "blob/blob_store.h"

namespace bsnn::blob {

absl::Status WrongOffset(const Key& key, uint64_t offset, uint64_t size);
absl::Status AlreadyPublished(const Key& key);
absl::Status TooLarge(const Key& key);
absl::Status NotPublished(const Key& key);
absl::Status BeyondEnd(const Key& key, uint64_t offset, uint64_t size);
/// DataLoss with reason DIGEST_MISMATCH.
absl::Status WrongContent(const Key& key, std::string_view expected, std::string_view met);

/// Whether `key` is `root` or below it; everything is below an empty root.
bool IsAtOrBelow(const Key& key, const Key& root);

}  // namespace bsnn::blob
