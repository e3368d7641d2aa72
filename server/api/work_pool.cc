#include "server/api/work_pool.h"

#include <fmt/format.h>
#include <pthread.h>

#include <cstdlib>
#include <exception>
#include <utility>

#include "base/logging.h"

namespace bsnn::api {

WorkPool::WorkPool(const std::string& name, int threads, const base::Clock& clock) : clock_(clock) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(), (name + "/" + std::to_string(i)).c_str());
  }
}

WorkPool::~WorkPool() { Close(); }

bool WorkPool::TrySubmit(const char* name, Task task) {
  absl::MutexLock lock(&mutex_);
  if (closed_ || queue_.size() >= kWorkQueueMax) return false;
  queue_.push_back({name, std::move(task), clock_.Steady()});
  return true;
}

bool WorkPool::IsBehind() const {
  absl::MutexLock lock(&mutex_);
  return !queue_.empty() && clock_.Steady() - queue_.front().since >= kWorkWaitMax;
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
    Queued next;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&has_work));
      if (queue_.empty()) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    // Our code does not throw; what a library throws must not end the program without a word.
    try {
      next.task();
    } catch (const std::exception& error) {
      base::LogError(fmt::format("event=task_threw task={} error=\"{}\"", next.name, error.what()));
      std::abort();
    }
  }
}

}  // namespace bsnn::api
