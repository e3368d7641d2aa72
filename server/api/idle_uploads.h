/// Ends uploads whose callers send nothing for too long: each holds one of the streams allowed.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include <map>
#include <memory>

namespace bsnn::api {

/// An upload, as this looks at it.
class WatchedUpload {
 public:
  virtual ~WatchedUpload() = default;
  /// Ends the call if it has waited for its caller since `since` (steady) or longer.
  virtual void EndIfIdleSince(absl::Duration since) = 0;
};

/// Thread-safe.
class IdleUploads {
 public:
  explicit IdleUploads(absl::Duration limit) : limit_(limit) {}

  void Add(const std::shared_ptr<WatchedUpload>& upload);
  void Remove(const WatchedUpload* upload);

  /// Call now and then; `now` is steady.
  void Tick(absl::Duration now);

 private:
  const absl::Duration limit_;
  absl::Mutex mutex_;
  std::map<const WatchedUpload*, std::shared_ptr<WatchedUpload>> uploads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::api
