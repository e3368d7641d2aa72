#include "worker/launcher/event_tail.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/status.h"

namespace bsnn::launcher {
namespace {
constexpr size_t kBlockBytes = 64 << 10;
}

EventTail::EventTail(std::filesystem::path path, uint64_t line_bytes_max)
    : path_(std::move(path)), line_bytes_max_(line_bytes_max) {}

absl::StatusOr<std::vector<TailItem>> EventTail::Read(size_t items_max) {
  std::vector<TailItem> items;
  Split(items_max, items);
  while (items.size() < items_max) {
    const size_t before = buffer_.size();
    RETURN_IF_ERROR(Fill());
    if (buffer_.size() == before) break;
    Split(items_max, items);
  }
  return items;
}

absl::Status EventTail::Fill() {
  if (!file_.valid()) {
    file_ = base::FileDescriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file_.valid() && errno == ENOENT) return absl::OkStatus();
    if (!file_.valid()) return base::ErrnoStatus(errno, "cannot open", path_);
  }
  struct stat facts {};
  if (::fstat(file_.get(), &facts) != 0) return base::ErrnoStatus(errno, "cannot read", path_);
  if (static_cast<uint64_t>(facts.st_size) < offset_) {
    offset_ = 0;
    buffer_.clear();
    skipping_ = false;
  }
  char block[kBlockBytes];
  ssize_t count = 0;
  do {
    count = ::pread(file_.get(), block, sizeof block, static_cast<off_t>(offset_));
  } while (count < 0 && errno == EINTR);
  if (count < 0) return base::ErrnoStatus(errno, "cannot read", path_);
  offset_ += static_cast<uint64_t>(count);
  buffer_.append(block, static_cast<size_t>(count));
  return absl::OkStatus();
}

void EventTail::Split(size_t items_max, std::vector<TailItem>& items) {
  size_t begin = 0;
  while (items.size() < items_max) {
    const size_t end = buffer_.find('\n', begin);
    if (end == std::string::npos) break;
    const size_t size = end - begin;
    if (std::exchange(skipping_, false)) {
      // The end of a line whose start has been reported.
    } else if (size > line_bytes_max_) {
      items.push_back({"", fmt::format("longer than {} bytes", line_bytes_max_)});
    } else if (size > 0) {
      items.push_back({buffer_.substr(begin, size), ""});
    }
    begin = end + 1;
  }
  buffer_.erase(0, begin);
  const bool partial = buffer_.find('\n') == std::string::npos;
  if (!partial || buffer_.size() <= line_bytes_max_) return;
  if (!skipping_) items.push_back({"", fmt::format("longer than {} bytes", line_bytes_max_)});
  skipping_ = true;
  buffer_.clear();
}

std::string EventTail::TornEnd() const {
  if (skipping_ || buffer_.empty()) return "";
  return fmt::format("the last line has no end ({} bytes)", buffer_.size());
}

}  // namespace bsnn::launcher
