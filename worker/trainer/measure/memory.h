/// The most memory that this process has held so far.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace bsnn::trainer {

/// Bytes resident in RAM at the peak (VmHWM of proc(5)); nothing where the kernel does not say.
std::optional<int64_t> PeakResidentBytes();

/// Bytes of `device` in live tensors at the peak, by LibTorch's caching allocator; nothing for the
/// CPU, which has none.
std::optional<int64_t> PeakDeviceBytes(c10::Device device);

}  // namespace bsnn::trainer
