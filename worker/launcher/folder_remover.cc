#include "worker/launcher/folder_remover.h"

#include <fmt/format.h>
#include <pthread.h>

#include <utility>

#include "base/logging.h"
#include "worker/launcher/attempt_folder.h"

namespace bsnn::launcher {

FolderRemover::FolderRemover(std::function<void()> removed)
    : removed_call_(std::move(removed)), thread_([this] { Run(); }) {
  ::pthread_setname_np(thread_.native_handle(), "remove-folders");
}

FolderRemover::~FolderRemover() {
  {
    const absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  thread_.join();
}

void FolderRemover::Remove(const agent::AttemptKey& key, std::filesystem::path folder) {
  const absl::MutexLock lock(&mutex_);
  tasks_.push_back({key, std::move(folder)});
}

std::vector<agent::AttemptKey> FolderRemover::TakeRemoved() {
  const absl::MutexLock lock(&mutex_);
  return std::exchange(removed_, {});
}

void FolderRemover::Run() {
  while (true) {
    Task task;
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &FolderRemover::HasWork));
      if (closing_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    const absl::Status removed = RemoveAttemptFolder(task.folder);
    if (!removed.ok()) {
      base::LogError(
          fmt::format("event=folder_not_removed error=\"{}\"", std::string(removed.message())));
    }
    {
      const absl::MutexLock lock(&mutex_);
      removed_.push_back(std::move(task.key));
    }
    removed_call_();
  }
}

}  // namespace bsnn::launcher
