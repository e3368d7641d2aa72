#include "server/scheduler/ready_queue.h"

#include <gtest/gtest.h>

#include <limits>

namespace bsnn::scheduler {
namespace {

using spec::Device;

TEST(ReadyQueue, HasNothingAtFirst) {
  const ReadyQueue queue;
  EXPECT_FALSE(queue.FirstFor(Device::kCpu).has_value());
  EXPECT_FALSE(queue.FirstFor(Device::kCuda).has_value());
  EXPECT_EQ(queue.PositionOf({0, 1, Device::kAny}), 1);
}

TEST(ReadyQueue, GoesByPriorityThenAge) {
  ReadyQueue queue;
  queue.Insert({-1, 1, Device::kAny});
  queue.Insert({0, 3, Device::kAny});
  queue.Insert({0, 2, Device::kAny});
  queue.Insert({7, 4, Device::kAny});
  for (const int64_t next : {4, 2, 3, 1}) {
    ASSERT_EQ(queue.FirstFor(Device::kCpu), next);
    queue.Erase({next == 4 ? 7 : next == 1 ? -1 : 0, next, Device::kAny});
  }
  EXPECT_FALSE(queue.FirstFor(Device::kCpu).has_value());
}

TEST(ReadyQueue, GivesASlotOnlyWhatItCanRun) {
  ReadyQueue queue;
  queue.Insert({5, 1, Device::kCuda});
  EXPECT_FALSE(queue.FirstFor(Device::kCpu).has_value());
  queue.Insert({0, 2, Device::kCpu});
  queue.Insert({0, 3, Device::kAny});
  EXPECT_EQ(queue.FirstFor(Device::kCuda), 1);
  EXPECT_EQ(queue.FirstFor(Device::kCpu), 2);
  queue.Erase({5, 1, Device::kCuda});
  EXPECT_EQ(queue.FirstFor(Device::kCuda), 3);
}

TEST(ReadyQueue, CountsPlacesOverAllDevices) {
  ReadyQueue queue;
  queue.Insert({0, 1, Device::kCuda});
  queue.Insert({0, 2, Device::kAny});
  queue.Insert({5, 3, Device::kCpu});
  EXPECT_EQ(queue.PositionOf({5, 3, Device::kCpu}), 1);
  EXPECT_EQ(queue.PositionOf({0, 2, Device::kAny}), 3);
  EXPECT_EQ(queue.PositionOf({9, 9, Device::kAny}), 1) << "also of one that is not in it";
}

TEST(ReadyQueue, TakesTheLimitsOfPriority) {
  constexpr int32_t kLow = std::numeric_limits<int32_t>::min();
  constexpr int32_t kHigh = std::numeric_limits<int32_t>::max();
  EXPECT_TRUE(ReadyQueue::Before({kHigh, 2}, {kLow, 1}));
  EXPECT_FALSE(ReadyQueue::Before({kLow, 2}, {kLow, 1}));
}

TEST(ReadyQueue, ErasesWhatIsNotThereWithoutHarm) {
  ReadyQueue queue;
  queue.Insert({0, 1, Device::kCpu});
  queue.Erase({0, 2, Device::kCpu});
  queue.Erase({0, 1, Device::kCuda});
  EXPECT_EQ(queue.FirstFor(Device::kCpu), 1);
}

}  // namespace
}  // namespace bsnn::scheduler
