/// The slots a host offers: one for each CUDA device, or a number of CPU slots.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "worker/agent/attempt.h"

namespace bsnn::device {

enum class Kind {
  kAuto,  ///< CUDA devices where there are any, else CPU slots
  kCpu,
  kCuda,
};

struct SlotOptions {
  Kind kind = Kind::kAuto;
  int cpu_slots = 1;  ///< 1 to kSlotsPerWorkerMax
  /// CUDA_VISIBLE_DEVICES as the worker got it; restricts the devices. Unset: all of them.
  std::string cuda_visible_devices = {};
  bool cuda_visible_devices_is_set = false;
};

/// Asks /dev and nvidia-smi. FailedPrecondition where `kind` is kCuda and there is no device.
absl::StatusOr<std::vector<agent::Slot>> FindSlots(const SlotOptions& options);

/// Slots of what `nvidia-smi --query-gpu=index,uuid,name,memory.total
/// --format=csv,noheader,nounits` prints; lines of another form are left out.
std::vector<agent::Slot> ParseNvidiaSmi(std::string_view text);

/// The slots that CUDA_VISIBLE_DEVICES `visible` (indices or UUIDs, as CUDA reads it: the list ends
/// at the first unknown one) leaves, in its order and numbered anew.
std::vector<agent::Slot> RestrictTo(std::string_view visible,
                                    const std::vector<agent::Slot>& slots);

/// `count` CPU slots.
std::vector<agent::Slot> CpuSlots(int count);

}  // namespace bsnn::device
