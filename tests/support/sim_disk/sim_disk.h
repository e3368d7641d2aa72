/// A disk in memory that can lose power, fill up and fail, and an SQLite VFS over it.
///
/// It knows synced from unsynced bytes. After a power cut a file holds what was synced and, drawn
/// at random, some of the writes since: each whole, not at all, or torn at a sector. A new file is
/// there for sure, and a deleted one gone for sure, once the folder was synced. There is one
/// folder.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace bsnn::testing_support {

/// Thread-safe.
class SimDisk {
 public:
  enum class Answer { kDone, kFull, kFailed };
  static constexpr size_t kSectorBytes = 512;

  /// From operation `number` on (a write, truncation, sync or deletion; from 1) there is no power:
  /// nothing is done, everything fails. 0 is never.
  void CutPowerAt(int64_t number);
  /// Operation `number` alone fails.
  void FailOnceAt(int64_t number);
  /// Files together may hold `bytes`; a write beyond fails. -1 is no limit.
  void SetRoom(int64_t bytes);
  /// Operations so far.
  int64_t operations() const;
  /// Power is back: the files are what the cut left, and what was set to fail is forgotten.
  void Restart(uint64_t seed);

  // What a file system does. Paths are mere names.
  bool Exists(const std::string& path) const;
  void Create(const std::string& path);
  int64_t SizeOf(const std::string& path) const;
  /// Reads what is there and fills the rest with zeros. False where that was short.
  bool Read(const std::string& path, int64_t offset, char* to, size_t size) const;
  Answer Write(const std::string& path, int64_t offset, std::string_view bytes);
  Answer Truncate(const std::string& path, int64_t size);
  Answer Sync(const std::string& path, bool sync_folder);
  Answer Delete(const std::string& path, bool sync_folder);
  bool has_power() const;

 private:
  /// Since the newest sync.
  struct Change {
    int64_t offset = 0;
    std::string bytes;
    bool truncates = false;  ///< to `offset`
  };
  struct File {
    std::string now;
    std::string synced;
    std::vector<Change> changes;
    bool entry_synced = false;
    bool there = true;  ///< false: deleted, but perhaps back after a cut
  };

  void SyncFolder() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Answer Begin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  File* Find(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const File* Find(const std::string& path) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  static void Apply(std::string& content, const Change& change);

  mutable absl::Mutex mutex_;
  std::map<std::string, File> files_ ABSL_GUARDED_BY(mutex_);
  int64_t operations_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t cut_at_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t fail_at_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t room_ ABSL_GUARDED_BY(mutex_) = -1;
};

/// While it lives, SQLite's default VFS is one over `disk`, for the whole process. One at a time.
/// Connections must be closed before it goes.
class SimDiskVfs {
 public:
  explicit SimDiskVfs(SimDisk& disk);
  ~SimDiskVfs();
  SimDiskVfs(const SimDiskVfs&) = delete;
  SimDiskVfs& operator=(const SimDiskVfs&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bsnn::testing_support
