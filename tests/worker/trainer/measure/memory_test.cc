#include "worker/trainer/measure/memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace bsnn::trainer {
namespace {

TEST(Memory, ThePeakStaysWhenTheMemoryIsGone) {
  constexpr int64_t kBytes = 200'000'000;  // more than freed memory that may be used again
  const auto before = PeakResidentBytes();
  ASSERT_TRUE(before);
  EXPECT_GT(*before, 1'000'000);
  { const std::vector<char> touched(kBytes, 1); }
  const auto after = PeakResidentBytes();
  ASSERT_TRUE(after);
  EXPECT_GE(*after, *before);
  EXPECT_GT(*after, kBytes);
  EXPECT_LT(*after, 50 * kBytes);
}

TEST(Memory, TheCpuHasNoneOfADevice) { EXPECT_FALSE(PeakDeviceBytes(c10::Device(c10::kCPU))); }

}  // namespace
}  // namespace bsnn::trainer
