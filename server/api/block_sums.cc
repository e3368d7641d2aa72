#include "server/api/block_sums.h"

#include <utility>

namespace bsnn::api {

std::shared_ptr<const BlockSums::Sums> BlockSums::Find(const std::string& sha256) const {
  absl::MutexLock lock(&mutex_);
  const auto found = files_.find(sha256);
  return found == files_.end() ? nullptr : found->second;
}

void BlockSums::Put(const std::string& sha256, Sums sums) {
  absl::MutexLock lock(&mutex_);
  if (sums.size() > sums_max_ || files_.contains(sha256)) return;
  held_ += sums.size();
  files_.emplace(sha256, std::make_shared<const Sums>(std::move(sums)));
  order_.push_back(sha256);
  while (held_ > sums_max_) {
    const auto oldest = files_.find(order_.front());
    held_ -= oldest->second->size();
    files_.erase(oldest);
    order_.pop_front();
  }
}

}  // namespace bsnn::api
