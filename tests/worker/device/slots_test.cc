#include "worker/device/slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bsnn::device {
namespace {

using testing::IsEmpty;

constexpr char kTwo[] =
    "0, GPU-1111aaaa-0000, NVIDIA H100 80GB HBM3, 81559\n"
    "1, GPU-2222bbbb-0000, NVIDIA H100 80GB HBM3, 81559\n";

TEST(Slots, ReadsWhatNvidiaSmiPrints) {
  const auto slots = ParseNvidiaSmi(kTwo);
  ASSERT_EQ(slots.size(), 2);
  EXPECT_EQ(slots[1], (agent::Slot{.index = 1,
                                   .device = "cuda",
                                   .description = "NVIDIA H100 80GB HBM3",
                                   .memory_bytes = int64_t{81559} << 20,
                                   .cuda_visible = "GPU-2222bbbb-0000"}));
}

TEST(Slots, LeavesOutLinesOfAnotherForm) {
  EXPECT_THAT(ParseNvidiaSmi("No devices were found\n"), IsEmpty());
  EXPECT_THAT(ParseNvidiaSmi("0, MIG-x, name, 1\nx, GPU-1, name, 1\n0, GPU-1, name\n"), IsEmpty());
}

TEST(Slots, MemoryThatIsNotKnownIsZero) {
  const auto slots = ParseNvidiaSmi("0, GPU-1, GB10, [N/A]\n");
  ASSERT_EQ(slots.size(), 1);
  EXPECT_EQ(slots[0].memory_bytes, 0);
}

TEST(Slots, CudaVisibleDevicesRestrictsAndOrders) {
  const auto all = ParseNvidiaSmi(kTwo);
  const auto swapped = RestrictTo("1, 0", all);
  ASSERT_EQ(swapped.size(), 2);
  EXPECT_EQ(swapped[0].cuda_visible, "GPU-2222bbbb-0000");
  EXPECT_EQ(swapped[0].index, 0);
  const auto by_uuid = RestrictTo("GPU-2222", all);
  ASSERT_EQ(by_uuid.size(), 1);
  EXPECT_EQ(by_uuid[0].cuda_visible, "GPU-2222bbbb-0000");
  EXPECT_EQ(RestrictTo("0,7,1", all).size(), 1);
  EXPECT_THAT(RestrictTo("", all), IsEmpty());
  EXPECT_THAT(RestrictTo("-1", all), IsEmpty());
}

TEST(Slots, CpuSlotsAreAsManyAsAskedFor) {
  const auto slots = FindSlots({.kind = Kind::kCpu, .cpu_slots = 3});
  ASSERT_TRUE(slots.ok());
  ASSERT_EQ(slots->size(), 3);
  EXPECT_EQ(slots->at(2).index, 2);
  EXPECT_EQ(slots->at(2).device, "cpu");
}

TEST(Slots, CudaWithoutAVisibleDeviceIsAnError) {
  const auto slots = FindSlots({.kind = Kind::kCuda, .cuda_visible_devices_is_set = true});
  EXPECT_TRUE(absl::IsFailedPrecondition(slots.status())) << slots.status();
}

}  // namespace
}  // namespace bsnn::device
