#include "tests/support/sim_disk/sim_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace bsnn::testing_support {

void SimDisk::CutPowerAt(int64_t number) {
  absl::MutexLock lock(&mutex_);
  cut_at_ = number;
}

void SimDisk::FailOnceAt(int64_t number) {
  absl::MutexLock lock(&mutex_);
  fail_at_ = number;
}

void SimDisk::SetRoom(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  room_ = bytes;
}

int64_t SimDisk::operations() const {
  absl::MutexLock lock(&mutex_);
  return operations_;
}

bool SimDisk::has_power() const {
  absl::MutexLock lock(&mutex_);
  return cut_at_ == 0 || operations_ < cut_at_;
}

void SimDisk::Apply(std::string& content, const Change& change) {
  const auto offset = static_cast<size_t>(change.offset);
  if (change.truncates) {
    content.resize(offset);
    return;
  }
  if (content.size() < offset + change.bytes.size()) content.resize(offset + change.bytes.size());
  content.replace(offset, change.bytes.size(), change.bytes);
}

void SimDisk::Restart(uint64_t seed) {
  absl::MutexLock lock(&mutex_);
  std::mt19937_64 random(seed);
  // A disk keeps all of its cache, or none, or what it likes.
  const uint64_t mode = random() % 4;
  const auto is_kept = [&] { return mode == 0 || (mode != 1 && random() % 2 == 0); };
  for (auto item = files_.begin(); item != files_.end();) {
    File& file = item->second;
    if ((!file.entry_synced && !is_kept()) || (!file.there && is_kept())) {
      item = files_.erase(item);
      continue;
    }
    for (Change& change : file.changes) {
      if (!is_kept()) continue;
      if (mode == 3 && !change.truncates && random() % 4 == 0) {  // torn: sectors from its begin
        const size_t first = kSectorBytes - static_cast<size_t>(change.offset) % kSectorBytes;
        change.bytes.resize(std::min(change.bytes.size(), first + random() % 9 * kSectorBytes));
      }
      Apply(file.synced, change);
    }
    file.now = file.synced;
    file.changes.clear();
    file.there = file.entry_synced = true;
    ++item;
  }
  cut_at_ = fail_at_ = operations_ = 0;
  room_ = -1;
}

SimDisk::File* SimDisk::Find(const std::string& path) {
  const auto found = files_.find(path);
  return found == files_.end() || !found->second.there ? nullptr : &found->second;
}

const SimDisk::File* SimDisk::Find(const std::string& path) const {
  const auto found = files_.find(path);
  return found == files_.end() || !found->second.there ? nullptr : &found->second;
}

bool SimDisk::Exists(const std::string& path) const {
  absl::MutexLock lock(&mutex_);
  return Find(path) != nullptr;
}

void SimDisk::Create(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  if (Find(path) == nullptr) files_[path] = File();  // in place of a deleted one, if there is one
}

int64_t SimDisk::SizeOf(const std::string& path) const {
  absl::MutexLock lock(&mutex_);
  const File* file = Find(path);
  return file == nullptr ? 0 : static_cast<int64_t>(file->now.size());
}

bool SimDisk::Read(const std::string& path, int64_t offset, char* to, size_t size) const {
  absl::MutexLock lock(&mutex_);
  std::memset(to, 0, size);
  const File* file = Find(path);
  const auto begin = static_cast<size_t>(offset);
  if (file == nullptr || begin >= file->now.size()) return false;
  const size_t there = std::min(size, file->now.size() - begin);
  std::memcpy(to, file->now.data() + begin, there);
  return there == size;
}

SimDisk::Answer SimDisk::Begin() {
  if (cut_at_ != 0 && operations_ + 1 >= cut_at_) {
    operations_ = std::max(operations_, cut_at_);
    return Answer::kFailed;
  }
  ++operations_;
  return operations_ == fail_at_ ? Answer::kFailed : Answer::kDone;
}

SimDisk::Answer SimDisk::Write(const std::string& path, int64_t offset, std::string_view bytes) {
  absl::MutexLock lock(&mutex_);
  File* file = Find(path);
  if (file == nullptr) return Answer::kFailed;
  const bool had_power = cut_at_ == 0 || operations_ < cut_at_;
  const Change change{offset, std::string(bytes), false};
  if (Begin() != Answer::kDone) {
    if (had_power && cut_at_ != 0) file->changes.push_back(change);  // cut while it was written
    return Answer::kFailed;
  }
  if (room_ >= 0) {
    int64_t held = 0;
    for (const auto& [name, other] : files_) held += static_cast<int64_t>(other.now.size());
    const int64_t end = offset + static_cast<int64_t>(bytes.size());
    if (held + std::max<int64_t>(0, end - static_cast<int64_t>(file->now.size())) > room_) {
      return Answer::kFull;
    }
  }
  Apply(file->now, change);
  file->changes.push_back(change);
  return Answer::kDone;
}

SimDisk::Answer SimDisk::Truncate(const std::string& path, int64_t size) {
  absl::MutexLock lock(&mutex_);
  File* file = Find(path);
  if (file == nullptr || Begin() != Answer::kDone) return Answer::kFailed;
  const Change change{size, "", true};
  Apply(file->now, change);
  file->changes.push_back(change);
  return Answer::kDone;
}

SimDisk::Answer SimDisk::Sync(const std::string& path, bool sync_folder) {
  absl::MutexLock lock(&mutex_);
  File* file = Find(path);
  if (file == nullptr || Begin() != Answer::kDone) return Answer::kFailed;
  file->synced = file->now;
  file->changes.clear();
  if (sync_folder) SyncFolder();
  return Answer::kDone;
}

SimDisk::Answer SimDisk::Delete(const std::string& path, bool sync_folder) {
  absl::MutexLock lock(&mutex_);
  File* file = Find(path);
  if (file == nullptr || Begin() != Answer::kDone) return Answer::kFailed;
  file->there = false;
  if (sync_folder) SyncFolder();
  return Answer::kDone;
}

void SimDisk::SyncFolder() {
  std::erase_if(files_, [](const auto& item) { return !item.second.there; });
  for (auto& [path, file] : files_) file.entry_synced = true;
}

}  // namespace bsnn::testing_support
