/// CRC-32C (Castagnoli) of checkpoint chunks, by Intel's ISA-L.
#pragma once

#include <cstdint>
#include <string_view>

namespace bsnn::wire {
uint32_t Crc32c(std::string_view data);
}  // namespace bsnn::wire
