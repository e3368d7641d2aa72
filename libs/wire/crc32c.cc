#include "wire/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <string>

namespace bsnn::wire {

uint32_t Crc32c(std::string_view data) {
  uint32_t crc = 0xFFFFFFFF;
  while (!data.empty()) {
    const size_t count = std::min<size_t>(data.size(), 1 << 30);  // ISA-L takes an int
    // ISA-L reads only, though it asks for a pointer to non-const.
    auto* bytes = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(data.data()));
    crc = crc32_iscsi(bytes, static_cast<int>(count), crc);
    data.remove_prefix(count);
  }
  return ~crc;
}

}  // namespace bsnn::wire
