#include "server/api/idle_uploads.h"

#include <vector>

namespace bsnn::api {

void IdleUploads::Add(const std::shared_ptr<WatchedUpload>& upload) {
  absl::MutexLock lock(&mutex_);
  uploads_[upload.get()] = upload;
}

void IdleUploads::Remove(const WatchedUpload* upload) {
  absl::MutexLock lock(&mutex_);
  uploads_.erase(upload);
}

void IdleUploads::Tick(absl::Duration now) {
  std::vector<std::shared_ptr<WatchedUpload>> uploads;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [address, upload] : uploads_) uploads.push_back(upload);
  }
  for (const auto& upload : uploads) upload->EndIfIdleSince(now - limit_);
}

}  // namespace bsnn::api
