#include "worker/trainer/measure/memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <fstream>
#include <string>

namespace bsnn::trainer {

std::optional<int64_t> PeakResidentBytes() {
  // Not getrusage, whose ru_maxrss an exec hands on from the program before.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return std::nullopt;
}

std::optional<int64_t> PeakDeviceBytes(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  const c10::CachingDeviceAllocator::DeviceStats stats =
      c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)]
      .peak;
}

}  // namespace bsnn::trainer
