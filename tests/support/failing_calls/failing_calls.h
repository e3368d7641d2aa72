/// Lets one chosen system call of this program fail, among those that work on files below a folder.
///
/// It defines write, fsync, rename and so on in the program itself, where the dynamic linker finds
/// them before the C library's, for every library that is linked dynamically (libstdc++, SQLite).
#pragma once

#include <cstdint>
#include <filesystem>

namespace bsnn::testing_support {

enum class Failure {
  kIoError,     ///< call `number` alone fails with EIO
  kFullDisk,    ///< from call `number` on, nothing that takes room succeeds: ENOSPC
  kShortWrite,  ///< call `number` alone writes half of its bytes, where it is a write
};

/// While it lives, calls are counted and fail. One at a time. Calls of all threads count.
///
/// Counted are calls that open for writing, create, write, cut, sync, rename or remove; with
/// kIoError those that read, too.
class FailingCalls {
 public:
  /// `number` is from 1; 0 lets no call fail. `folder` is there.
  FailingCalls(const std::filesystem::path& folder, Failure failure, int64_t number);
  ~FailingCalls();
  FailingCalls(const FailingCalls&) = delete;
  FailingCalls& operator=(const FailingCalls&) = delete;

  /// Counted so far.
  int64_t calls() const;
};

}  // namespace bsnn::testing_support
