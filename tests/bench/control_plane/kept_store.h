/// Fills a coordinator's data folder through the SQLite adapter, faster than through the API.
#pragma once

#include <cstdint>
#include <filesystem>

namespace bsnn::bench {

struct StoreContent {
  int64_t queued = 0;  ///< jobs queued, each with a spec of its own
  int64_t points = 0;  ///< of one ended job "large" besides; 0 makes none
};

/// `data` is a folder that a coordinator has made and left.
void FillStore(const std::filesystem::path& data, const StoreContent& content);

}  // namespace bsnn::bench
