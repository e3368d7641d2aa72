/// Jobs that wait for a slot, by priority, then in the order in which they were created.
///
/// Thread-compatible. Every operation costs O(log n); a place in the queue too.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "spec/job_spec.h"

namespace bsnn::scheduler {

class ReadyQueue {
 public:
  struct Entry {
    int32_t priority = 0;
    int64_t sequence = 0;
    spec::Device device = spec::Device::kAny;  ///< what the job accepts
  };

  ReadyQueue();
  ~ReadyQueue();

  void Insert(const Entry& entry);
  void Erase(const Entry& entry);

  /// Sequence of the first job that a slot of `device` (kCpu or kCuda) can run.
  std::optional<int64_t> FirstFor(spec::Device device) const;

  /// 1 for the job that would be next, were every slot fit for it; also of one that is not in it.
  int32_t PositionOf(const Entry& entry) const;

  /// Whether `a` goes before `b`, both sequences in it, given their priorities.
  static bool Before(const Entry& a, const Entry& b);

 private:
  struct Trees;
  std::unique_ptr<Trees> trees_;
};

}  // namespace bsnn::scheduler
