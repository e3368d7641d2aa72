// The VFS: files and locks are SimDisk's and this file's; shared memory of the WAL is plain memory.
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "tests/support/sim_disk/sim_disk.h"

namespace bsnn::testing_support {
namespace {

/// What connections of one database share: locks and the index of its WAL. A restart of the machine
/// closes them all, so nothing of it outlives that.
struct Shared {
  int readers = 0;         // connections that hold SHARED or more
  void* writer = nullptr;  // the connection that holds RESERVED or more
  bool exclusive = false;
  std::vector<std::unique_ptr<std::array<char, 32768>>> regions;
  int shm_users = 0;  // the last one takes the regions with it, as the first one makes them anew
  std::array<int, SQLITE_SHM_NLOCK> shm_readers{};
  std::array<void*, SQLITE_SHM_NLOCK> shm_writer{};
};

struct State {
  explicit State(SimDisk& d) : disk(d) {}
  SimDisk& disk;
  sqlite3_vfs vfs = {};
  absl::Mutex mutex;
  std::map<std::string, Shared> shared ABSL_GUARDED_BY(mutex);  // by the database's path
  std::mt19937_64 random ABSL_GUARDED_BY(mutex){1};
};

/// Begins like sqlite3_file, as SQLite allocates it.
struct OpenFile {
  sqlite3_file base;
  SimDisk* disk;
  absl::Mutex* mutex;
  Shared* shared;  // of the database the file belongs to
  std::string* path;
  int lock;
  unsigned shm_shared;     // bits
  unsigned shm_exclusive;  // bits
  bool uses_shm;
  bool syncs_folder;  // at its next sync: a new journal, as SQLite's VFS for Unix does
  bool deletes;
};

OpenFile& Of(sqlite3_file* file) { return *reinterpret_cast<OpenFile*>(file); }

int CodeOf(SimDisk::Answer answer, int failed) {
  if (answer == SimDisk::Answer::kFull) return SQLITE_FULL;
  return answer == SimDisk::Answer::kDone ? SQLITE_OK : failed;
}

int Unlock(sqlite3_file* base, int to) {
  OpenFile& file = Of(base);
  absl::MutexLock lock(file.mutex);
  if (file.lock >= SQLITE_LOCK_RESERVED && to < SQLITE_LOCK_RESERVED) {
    file.shared->writer = nullptr;
    file.shared->exclusive = false;
  }
  if (file.lock >= SQLITE_LOCK_SHARED && to < SQLITE_LOCK_SHARED) --file.shared->readers;
  file.lock = std::min(file.lock, to);
  return SQLITE_OK;
}

int Lock(sqlite3_file* base, int to) {
  OpenFile& file = Of(base);
  absl::MutexLock lock(file.mutex);
  Shared& shared = *file.shared;
  if (file.lock >= to) return SQLITE_OK;
  if (shared.exclusive && shared.writer != &file) return SQLITE_BUSY;
  if (file.lock == SQLITE_LOCK_NONE) {
    ++shared.readers;
    file.lock = SQLITE_LOCK_SHARED;
  }
  if (to >= SQLITE_LOCK_RESERVED) {
    if (shared.writer != nullptr && shared.writer != &file) return SQLITE_BUSY;
    shared.writer = &file;
    file.lock = SQLITE_LOCK_RESERVED;
  }
  if (to == SQLITE_LOCK_EXCLUSIVE) {
    if (shared.readers > 1) return SQLITE_BUSY;
    shared.exclusive = true;
  }
  file.lock = to;
  return SQLITE_OK;
}

int CheckReserved(sqlite3_file* base, int* out) {
  OpenFile& file = Of(base);
  absl::MutexLock lock(file.mutex);
  *out = file.shared->writer != nullptr ? 1 : 0;
  return SQLITE_OK;
}

int LeaveShm(OpenFile& file) {
  absl::MutexLock lock(file.mutex);
  for (size_t i = 0; i < SQLITE_SHM_NLOCK; ++i) {
    if ((file.shm_shared >> i & 1) != 0) --file.shared->shm_readers[i];
    if ((file.shm_exclusive >> i & 1) != 0) file.shared->shm_writer[i] = nullptr;
  }
  file.shm_shared = file.shm_exclusive = 0;
  if (std::exchange(file.uses_shm, false) && --file.shared->shm_users == 0) {
    file.shared->regions.clear();
  }
  return SQLITE_OK;
}

int Close(sqlite3_file* base) {
  OpenFile& file = Of(base);
  Unlock(base, SQLITE_LOCK_NONE);
  LeaveShm(file);
  if (file.deletes) (void)file.disk->Delete(*file.path, true);
  delete file.path;
  return SQLITE_OK;
}

int Read(sqlite3_file* base, void* to, int size, sqlite3_int64 offset) {
  OpenFile& file = Of(base);
  if (!file.disk->has_power()) return SQLITE_IOERR_READ;
  const bool whole =
      file.disk->Read(*file.path, offset, static_cast<char*>(to), static_cast<size_t>(size));
  return whole ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* base, const void* from, int size, sqlite3_int64 offset) {
  OpenFile& file = Of(base);
  return CodeOf(file.disk->Write(*file.path, offset,
                                 {static_cast<const char*>(from), static_cast<size_t>(size)}),
                SQLITE_IOERR_WRITE);
}

int Truncate(sqlite3_file* base, sqlite3_int64 size) {
  return CodeOf(Of(base).disk->Truncate(*Of(base).path, size), SQLITE_IOERR_TRUNCATE);
}

int Sync(sqlite3_file* base, int) {
  OpenFile& file = Of(base);
  const int code = CodeOf(file.disk->Sync(*file.path, file.syncs_folder), SQLITE_IOERR_FSYNC);
  if (code == SQLITE_OK) file.syncs_folder = false;
  return code;
}

int FileSize(sqlite3_file* base, sqlite3_int64* size) {
  *size = Of(base).disk->SizeOf(*Of(base).path);
  return SQLITE_OK;
}

int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return SimDisk::kSectorBytes; }
int Characteristics(sqlite3_file*) { return 0; }

int ShmMap(sqlite3_file* base, int index, int size, int extend, void volatile** out) {
  OpenFile& file = Of(base);
  absl::MutexLock lock(file.mutex);
  auto& regions = file.shared->regions;
  if (!std::exchange(file.uses_shm, true)) ++file.shared->shm_users;
  const auto at = static_cast<size_t>(index);
  *out = nullptr;
  if (size != 32768) return SQLITE_IOERR_SHMSIZE;
  if (regions.size() <= at && extend == 0) return SQLITE_OK;
  while (regions.size() <= at) regions.push_back(std::make_unique<std::array<char, 32768>>());
  *out = regions[at]->data();
  return SQLITE_OK;
}

int ShmLock(sqlite3_file* base, int first, int count, int flags) {
  OpenFile& file = Of(base);
  absl::MutexLock lock(file.mutex);
  Shared& shared = *file.shared;
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  for (int n = first; n < first + count; ++n) {
    const auto i = static_cast<size_t>(n);
    const unsigned bit = 1U << i;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      if ((file.shm_shared & bit) != 0) --shared.shm_readers[i];
      if ((file.shm_exclusive & bit) != 0) shared.shm_writer[i] = nullptr;
      file.shm_shared &= ~bit;
      file.shm_exclusive &= ~bit;
      continue;
    }
    const int others = shared.shm_readers[i] - static_cast<int>(file.shm_shared >> i & 1);
    if (shared.shm_writer[i] != nullptr && shared.shm_writer[i] != &file) return SQLITE_BUSY;
    if (exclusive && others > 0) return SQLITE_BUSY;
  }
  if ((flags & SQLITE_SHM_UNLOCK) != 0) return SQLITE_OK;
  for (int n = first; n < first + count; ++n) {
    const auto i = static_cast<size_t>(n);
    const unsigned bit = 1U << i;
    if (exclusive) {
      shared.shm_writer[i] = &file;
      file.shm_exclusive |= bit;
    } else if ((file.shm_shared & bit) == 0) {
      ++shared.shm_readers[i];
      file.shm_shared |= bit;
    }
  }
  return SQLITE_OK;
}

void ShmBarrier(sqlite3_file*) { std::atomic_thread_fence(std::memory_order_seq_cst); }
int ShmUnmap(sqlite3_file* base, int) { return LeaveShm(Of(base)); }

constexpr sqlite3_io_methods kMethods = {
    2,        Close,         Read,        Write,      Truncate,        Sync,   FileSize, Lock,
    Unlock,   CheckReserved, FileControl, SectorSize, Characteristics, ShmMap, ShmLock,  ShmBarrier,
    ShmUnmap, nullptr,       nullptr};

State& StateOf(sqlite3_vfs* vfs) { return *static_cast<State*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* base, int flags, int* out_flags) {
  State& state = StateOf(vfs);
  base->pMethods = nullptr;
  std::string path = name == nullptr ? "temporary" : name;
  if (!state.disk.has_power()) return SQLITE_IOERR;
  const bool is_new = !state.disk.Exists(path);
  if (is_new) {
    if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    state.disk.Create(path);
  }
  std::string database = path;
  for (const std::string_view suffix : {"-wal", "-journal"}) {
    if (database.ends_with(suffix)) database.resize(database.size() - suffix.size());
  }
  absl::MutexLock lock(&state.mutex);
  Of(base) = {.base = {&kMethods},
              .disk = &state.disk,
              .mutex = &state.mutex,
              .shared = &state.shared[database],
              .path = new std::string(std::move(path)),
              .lock = SQLITE_LOCK_NONE,
              .shm_shared = 0,
              .shm_exclusive = 0,
              .uses_shm = false,
              .syncs_folder = is_new && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0,
              .deletes = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0};
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  SimDisk& disk = StateOf(vfs).disk;
  if (!disk.Exists(name)) return SQLITE_IOERR_DELETE_NOENT;
  return CodeOf(disk.Delete(name, sync_folder != 0), SQLITE_IOERR_DELETE);
}

int Access(sqlite3_vfs* vfs, const char* name, int, int* out) {
  *out = StateOf(vfs).disk.Exists(name) ? 1 : 0;
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* name, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}

int Randomness(sqlite3_vfs* vfs, int size, char* out) {
  State& state = StateOf(vfs);
  absl::MutexLock lock(&state.mutex);
  for (int i = 0; i < size; ++i) out[i] = static_cast<char>(state.random());
  return size;
}

int Sleep(sqlite3_vfs*, int microseconds) { return microseconds; }
int CurrentTime(sqlite3_vfs*, double* out) {
  *out = 2'460'000;
  return SQLITE_OK;
}
int CurrentTimeMilliseconds(sqlite3_vfs*, sqlite3_int64* out) {
  *out = 2'460'000LL * 86'400'000;
  return SQLITE_OK;
}
int GetLastError(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

struct SimDiskVfs::Impl {
  explicit Impl(SimDisk& disk) : state(disk) {}
  State state;
  sqlite3_vfs* previous = nullptr;
};

SimDiskVfs::SimDiskVfs(SimDisk& disk) : impl_(std::make_unique<Impl>(disk)) {
  impl_->previous = sqlite3_vfs_find(nullptr);
  sqlite3_vfs& vfs = impl_->state.vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = sizeof(OpenFile);
  vfs.mxPathname = 512;
  vfs.zName = "sim_disk";
  vfs.pAppData = &impl_->state;
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  vfs.xRandomness = Randomness;
  vfs.xSleep = Sleep;
  vfs.xCurrentTime = CurrentTime;
  vfs.xGetLastError = GetLastError;
  vfs.xCurrentTimeInt64 = CurrentTimeMilliseconds;
  sqlite3_vfs_register(&vfs, /*makeDflt=*/1);
}

SimDiskVfs::~SimDiskVfs() {
  sqlite3_vfs_unregister(&impl_->state.vfs);
  sqlite3_vfs_register(impl_->previous, /*makeDflt=*/1);
}

}  // namespace bsnn::testing_support
