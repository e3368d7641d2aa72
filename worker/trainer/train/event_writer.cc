#include "worker/trainer/train/event_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "base/limits.h"
#include "base/logging.h"
#include "base/status.h"

namespace bsnn::trainer {
namespace {

struct Kept {
  int64_t bytes = 0;
  int64_t sequence = 0;
};

/// The whole events at the start of the file; none where there is no file. What cannot be read is
/// an error: the file would be cut there.
absl::StatusOr<Kept> CountEvents(const std::filesystem::path& path) {
  Kept kept;
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open() && errno == ENOENT) return kept;
  if (!file.is_open()) return base::ErrnoStatus(errno, "cannot open", path);
  std::string line;
  while (std::getline(file, line) && !file.eof()) {
    const auto event = spec::ParseEventLine(line);
    if (!event.ok()) break;
    kept.bytes += static_cast<int64_t>(line.size()) + 1;
    kept.sequence = event->sequence;
  }
  if (file.bad()) return base::ErrnoStatus(EIO, "cannot read", path);
  return kept;
}

}  // namespace

absl::StatusOr<EventWriter> EventWriter::Open(const std::filesystem::path& path, bool continued,
                                              const base::Clock& clock) {
  Kept kept;
  if (continued) {
    ASSIGN_OR_RETURN(kept, CountEvents(path));
  }
  base::FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return base::ErrnoStatus(errno, "cannot create", path);
  if (::ftruncate(file.get(), kept.bytes) != 0 || ::lseek(file.get(), kept.bytes, SEEK_SET) < 0) {
    return base::ErrnoStatus(errno, "cannot write", path);
  }
  return EventWriter(std::move(file), path, kept.sequence, clock);
}

void EventWriter::WriteEvent(spec::Event event) {
  if (!status_.ok() || !file_.valid()) return;
  event.sequence = ++sequence_;
  status_ = base::WriteAll(file_.get(), spec::ToJsonLine(event) + "\n", path_);
}

void EventWriter::Log(spec::Severity severity, std::string message) {
  if (file_.valid() || severity >= spec::Severity::kWarning) {
    base::Log(static_cast<base::LogLevel>(severity), message);
  }
  Write(spec::LogLine{severity, std::move(message)});
}

}  // namespace bsnn::trainer
