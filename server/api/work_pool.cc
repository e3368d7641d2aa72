#include "server/api/work_pool.h"

#include <pthread.h>

#include <utility>

namespace bsnn::api {

WorkPool::WorkPool(const std::string& name, int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(), (name + "/" + std::to_string(i)).c_str());
  }
}

WorkPool::~WorkPool() { Close(); }

bool WorkPool::TrySubmit(Task task) {
  absl::MutexLock lock(&mutex_);
  if (closed_ || queue_.size() >= kWorkQueueMax) return false;
  queue_.push_back(std::move(task));
  return true;
}

void WorkPool::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkPool::Run() {
  const auto has_work = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return closed_ || !queue_.empty();
  };
  while (true) {
    Task task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace bsnn::api
