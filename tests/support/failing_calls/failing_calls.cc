#include "tests/support/failing_calls/failing_calls.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

namespace bsnn::testing_support {
namespace {

enum class Kind { kTakesRoom, kWrite, kOther, kRead };
enum class Answer { kCall, kFail, kHalf };

struct Armed {
  std::mutex mutex;
  bool on = false;
  std::string folder;
  Failure failure = Failure::kIoError;
  int64_t number = 0;
  int64_t calls = 0;
};

Armed& State() {
  static Armed* const state = new Armed;  // never destroyed: files are closed after main, too
  return *state;
}

/// Whether a call on `path` goes on; sets errno where it fails.
Answer Decide(Kind kind, std::string_view path) {
  Armed& state = State();
  const std::lock_guard lock(state.mutex);
  if (!state.on || !path.starts_with(state.folder)) return Answer::kCall;
  if (kind == Kind::kRead && state.failure != Failure::kIoError) return Answer::kCall;
  ++state.calls;
  if (state.number == 0 || state.calls < state.number) return Answer::kCall;
  if (state.failure == Failure::kFullDisk) {
    if (kind != Kind::kTakesRoom && kind != Kind::kWrite) return Answer::kCall;
    errno = ENOSPC;
    return Answer::kFail;
  }
  if (state.calls > state.number) return Answer::kCall;
  if (state.failure == Failure::kShortWrite) {
    return kind == Kind::kWrite ? Answer::kHalf : Answer::kCall;
  }
  errno = EIO;
  return Answer::kFail;
}

std::string PathOf(int descriptor) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t size = ::readlink(link.c_str(), path, sizeof path);
  return size < 0 ? "" : std::string(path, static_cast<size_t>(size));
}

std::string PathAt(int folder, const char* path) {
  if (path[0] == '/' || folder == AT_FDCWD) return path;
  return PathOf(folder) + "/" + path;
}

Kind KindOfOpen(int flags) {
  if ((flags & O_CREAT) != 0) return Kind::kTakesRoom;
  return (flags & O_ACCMODE) == O_RDONLY ? Kind::kRead : Kind::kOther;
}

template <class Call>
Call* Real(const char* name) {
  void* const found = ::dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  return reinterpret_cast<Call*>(found);
}

}  // namespace

FailingCalls::FailingCalls(const std::filesystem::path& folder, Failure failure, int64_t number) {
  Armed& state = State();
  const std::lock_guard lock(state.mutex);
  state.folder = std::filesystem::canonical(folder).string();
  state.failure = failure;
  state.number = number;
  state.calls = 0;
  state.on = true;
}

FailingCalls::~FailingCalls() {
  Armed& state = State();
  const std::lock_guard lock(state.mutex);
  state.on = false;
}

int64_t FailingCalls::calls() const {
  Armed& state = State();
  const std::lock_guard lock(state.mutex);
  return state.calls;
}

}  // namespace bsnn::testing_support

using bsnn::testing_support::Answer;
using bsnn::testing_support::Decide;
using bsnn::testing_support::Kind;
using bsnn::testing_support::KindOfOpen;
using bsnn::testing_support::PathAt;
using bsnn::testing_support::PathOf;
using bsnn::testing_support::Real;

extern "C" {

// NOLINTBEGIN: the C library's names and types
#define BSNN_OPEN(NAME)                                                    \
  int NAME(const char* path, int flags, ...) {                             \
    va_list more;                                                          \
    va_start(more, flags);                                                 \
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                          \
    if (Decide(KindOfOpen(flags), path) == Answer::kFail) return -1;       \
    static const auto real = Real<int(const char*, int, mode_t)>(#NAME);   \
    return real(path, flags, mode);                                        \
  }
BSNN_OPEN(open)
BSNN_OPEN(open64)

ssize_t write(int file, const void* bytes, size_t size) {
  static const auto real = Real<ssize_t(int, const void*, size_t)>("write");
  const Answer answer = Decide(Kind::kWrite, PathOf(file));
  if (answer == Answer::kFail) return -1;
  return real(file, bytes, answer == Answer::kHalf ? (size + 1) / 2 : size);
}

#define BSNN_PWRITE(NAME)                                                              \
  ssize_t NAME(int file, const void* bytes, size_t size, off_t offset) {               \
    static const auto real = Real<ssize_t(int, const void*, size_t, off_t)>(#NAME);    \
    const Answer answer = Decide(Kind::kWrite, PathOf(file));                          \
    if (answer == Answer::kFail) return -1;                                            \
    return real(file, bytes, answer == Answer::kHalf ? (size + 1) / 2 : size, offset); \
  }
BSNN_PWRITE(pwrite)
BSNN_PWRITE(pwrite64)

ssize_t read(int file, void* bytes, size_t size) {
  static const auto real = Real<ssize_t(int, void*, size_t)>("read");
  if (Decide(Kind::kRead, PathOf(file)) == Answer::kFail) return -1;
  return real(file, bytes, size);
}

#define BSNN_PREAD(NAME)                                                      \
  ssize_t NAME(int file, void* bytes, size_t size, off_t offset) {            \
    static const auto real = Real<ssize_t(int, void*, size_t, off_t)>(#NAME); \
    if (Decide(Kind::kRead, PathOf(file)) == Answer::kFail) return -1;        \
    return real(file, bytes, size, offset);                                   \
  }
BSNN_PREAD(pread)
BSNN_PREAD(pread64)

#define BSNN_SYNC(NAME)                                                 \
  int NAME(int file) {                                                  \
    static const auto real = Real<int(int)>(#NAME);                     \
    if (Decide(Kind::kOther, PathOf(file)) == Answer::kFail) return -1; \
    return real(file);                                                  \
  }
BSNN_SYNC(fsync)
BSNN_SYNC(fdatasync)

#define BSNN_CUT(NAME)                                                  \
  int NAME(int file, off_t size) {                                      \
    static const auto real = Real<int(int, off_t)>(#NAME);              \
    if (Decide(Kind::kOther, PathOf(file)) == Answer::kFail) return -1; \
    return real(file, size);                                            \
  }
BSNN_CUT(ftruncate)
BSNN_CUT(ftruncate64)

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = Real<int(const char*, mode_t)>("mkdir");
  if (Decide(Kind::kTakesRoom, path) == Answer::kFail) return -1;
  return real(path, mode);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = Real<int(const char*, const char*)>("rename");
  if (Decide(Kind::kOther, to) == Answer::kFail) return -1;
  return real(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned int flags) noexcept {
  static const auto real = Real<int(int, const char*, int, const char*, unsigned)>("renameat2");
  if (Decide(Kind::kOther, PathAt(to_folder, to)) == Answer::kFail) return -1;
  return real(from_folder, from, to_folder, to, flags);
}

int unlink(const char* path) noexcept {
  static const auto real = Real<int(const char*)>("unlink");
  if (Decide(Kind::kOther, path) == Answer::kFail) return -1;
  return real(path);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto real = Real<int(int, const char*, int)>("unlinkat");
  if (Decide(Kind::kOther, PathAt(folder, path)) == Answer::kFail) return -1;
  return real(folder, path, flags);
}
// NOLINTEND

}  // extern "C"
