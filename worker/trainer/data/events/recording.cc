#include "worker/trainer/data/events/recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

namespace bsnn::trainer {
namespace {

constexpr size_t kAtisEventBytes = 5;
constexpr size_t kAedatEventBytes = 8;
constexpr size_t kPacketHeaderBytes = 28;
constexpr int32_t kAtisOverflowRow = 240;
constexpr int64_t kAtisOverflowTime = 1 << 13;
constexpr uint32_t kPolarityType = 1;
constexpr std::string_view kVersion2 = "#!AER-DAT2.0";
constexpr std::string_view kVersion3 = "#!AER-DAT3.1";
constexpr std::string_view kHeaderEnd = "#!END-HEADER";

absl::Status Fault(size_t offset, const std::string& what) {
  return absl::DataLossError(fmt::format("offset {}: {}", offset, what));
}

absl::Status FaultOfPixel(size_t offset, const SensorEvent& event, int32_t side) {
  return Fault(offset,
               fmt::format("pixel is ({}, {}) (allowed: 0 to {})", event.x, event.y, side - 1));
}

/// Where the content holds nothing to train on.
absl::Status FaultOfEmpty(size_t size) {
  return Fault(size, "the recording ends without an event");
}

uint32_t Byte(std::string_view content, size_t offset) {
  return static_cast<uint8_t>(content[offset]);
}

uint32_t BigEndian(std::string_view content, size_t offset) {
  return Byte(content, offset) << 24 | Byte(content, offset + 1) << 16 |
         Byte(content, offset + 2) << 8 | Byte(content, offset + 3);
}

uint32_t LittleEndian(std::string_view content, size_t offset) {
  return Byte(content, offset + 3) << 24 | Byte(content, offset + 2) << 16 |
         Byte(content, offset + 1) << 8 | Byte(content, offset);
}

/// The line of a header at `offset`, without its end, in `line`. The offset behind it, or `offset`
/// itself where there is none: another first character, an unprintable one, or no end of line.
size_t TakeHeaderLine(std::string_view content, size_t offset, std::string_view& line) {
  if (offset >= content.size() || content[offset] != '#') return offset;
  size_t end = offset;
  const auto printable = [](char c) { return c == '\t' || (c >= ' ' && c != '\x7f'); };
  while (end < content.size() && printable(content[end])) ++end;
  line = content.substr(offset, end - offset);
  if (end < content.size() && content[end] == '\r') ++end;
  return end < content.size() && content[end] == '\n' ? end + 1 : offset;
}

struct Packet {
  uint32_t type = 0;
  int64_t event_bytes = 0;
  int64_t overflow = 0;
  int64_t capacity = 0;
  int64_t number = 0;

  int64_t bytes() const { return event_bytes * capacity; }
};

/// The packet's header at `offset`, and that what it says fits into the content behind it.
absl::Status ParsePacket(std::string_view content, size_t offset, Packet& packet) {
  if (content.size() - offset < kPacketHeaderBytes) {
    return Fault(offset, fmt::format("{} bytes are left (allowed: a packet's header of {})",
                                     content.size() - offset, kPacketHeaderBytes));
  }
  const auto field = [&](size_t at) {
    return int64_t{static_cast<int32_t>(LittleEndian(content, offset + at))};
  };
  packet = {LittleEndian(content, offset) & 0xFFFF, field(4), field(12), field(16), field(20)};
  if (packet.event_bytes < 1 || (packet.type == kPolarityType && packet.event_bytes != 8)) {
    return Fault(offset + 4, fmt::format("event size is {} (allowed: {})", packet.event_bytes,
                                         packet.type == kPolarityType ? "8" : "at least 1"));
  }
  if (packet.overflow < 0) {
    return Fault(offset + 12,
                 fmt::format("time overflow is {} (allowed: at least 0)", packet.overflow));
  }
  const auto left = static_cast<int64_t>(content.size() - offset - kPacketHeaderBytes);
  if (packet.capacity < 0 || packet.bytes() > left) {
    return Fault(offset + 16, fmt::format("capacity is {} events of {} bytes (allowed: 0 to the {} "
                                          "bytes that are left)",
                                          packet.capacity, packet.event_bytes, left));
  }
  if (packet.number < 0 || packet.number > packet.capacity) {
    return Fault(offset + 20, fmt::format("number of events is {} (allowed: 0 to the capacity, {})",
                                          packet.number, packet.capacity));
  }
  return absl::OkStatus();
}

/// The events of a polarity packet, whose first is at `offset`. Adds to `count`.
absl::Status VisitPacket(std::string_view content, size_t offset, const Packet& packet,
                         EventVisitor visit, int64_t& count) {
  for (int64_t i = 0; i < packet.number; ++i, offset += kAedatEventBytes) {
    const uint32_t data = LittleEndian(content, offset);
    if ((data & 1) == 0) continue;
    const uint32_t time = LittleEndian(content, offset + 4);
    if (time > uint32_t{std::numeric_limits<int32_t>::max()}) {
      return Fault(offset + 4,
                   fmt::format("time is {} (allowed: at least 0)", static_cast<int32_t>(time)));
    }
    const SensorEvent event{packet.overflow << 31 | time, static_cast<int32_t>(data >> 17),
                            static_cast<int32_t>(data >> 2 & 0x7FFF),
                            static_cast<int32_t>(data >> 1 & 1)};
    if (event.x >= kDvs128Side || event.y >= kDvs128Side) {
      return FaultOfPixel(offset, event, kDvs128Side);
    }
    visit(event);
    ++count;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseAtis(std::string_view content, EventVisitor visit) {
  const size_t whole = content.size() / kAtisEventBytes * kAtisEventBytes;
  if (whole != content.size()) {
    return Fault(whole, fmt::format("{} bytes are left (allowed: whole events of {})",
                                    content.size() - whole, kAtisEventBytes));
  }
  int64_t count = 0, overflow = 0;
  for (size_t at = 0; at < whole; at += kAtisEventBytes) {
    const uint32_t time = BigEndian(content, at + 1) & 0x7FFFFF;
    const SensorEvent event{time + overflow, static_cast<int32_t>(Byte(content, at)),
                            static_cast<int32_t>(Byte(content, at + 1)),
                            static_cast<int32_t>(Byte(content, at + 2) >> 7)};
    if (event.y == kAtisOverflowRow) {
      overflow += kAtisOverflowTime;
      continue;
    }
    if (event.x >= kAtisSide || event.y >= kAtisSide) return FaultOfPixel(at, event, kAtisSide);
    visit(event);
    ++count;
  }
  return count == 0 ? FaultOfEmpty(content.size()) : absl::OkStatus();
}

absl::Status ParseAedat2(std::string_view content, EventVisitor visit) {
  std::string_view line;
  size_t at = 0;
  for (size_t next = 0; (next = TakeHeaderLine(content, at, line)) != at; at = next) {
    if (line.starts_with("#!AER-DAT") && line != kVersion2) {
      return Fault(at,
                   fmt::format("version is '{}' (allowed: '{}')", line.substr(0, 32), kVersion2));
    }
  }
  const size_t end = at + (content.size() - at) / kAedatEventBytes * kAedatEventBytes;
  if (end != content.size()) {
    return Fault(end, fmt::format("{} bytes are left (allowed: whole events of {})",
                                  content.size() - end, kAedatEventBytes));
  }
  int64_t count = 0;
  for (; at < end; at += kAedatEventBytes) {
    const uint32_t address = BigEndian(content, at);
    if (address > 0xFFFF) {
      return Fault(at, fmt::format("address is 0x{:08x} (allowed: at most 0x0000ffff)", address));
    }
    if ((address & 0x8000) != 0) continue;
    const auto last = uint32_t{kDvs128Side - 1};
    visit({BigEndian(content, at + 4), static_cast<int32_t>(last - (address >> 8)),
           static_cast<int32_t>(last - (address >> 1 & last)),
           static_cast<int32_t>(1 - (address & 1))});
    ++count;
  }
  return count == 0 ? FaultOfEmpty(content.size()) : absl::OkStatus();
}

absl::Status ParseAedat3(std::string_view content, EventVisitor visit) {
  std::string_view line;
  size_t at = TakeHeaderLine(content, 0, line);
  if (at == 0 || line != kVersion3) {
    return Fault(0, fmt::format("the first line is not '{}'", kVersion3));
  }
  while (line != kHeaderEnd) {
    const size_t next = TakeHeaderLine(content, at, line);
    if (next == at) return Fault(at, fmt::format("no line of the header, nor '{}'", kHeaderEnd));
    at = next;
  }
  int64_t count = 0;
  Packet packet;
  while (at < content.size()) {
    if (const absl::Status parsed = ParsePacket(content, at, packet); !parsed.ok()) return parsed;
    at += kPacketHeaderBytes;
    if (packet.type == kPolarityType) {
      const absl::Status visited = VisitPacket(content, at, packet, visit, count);
      if (!visited.ok()) return visited;
    }
    at += static_cast<size_t>(packet.bytes());
  }
  return count == 0 ? FaultOfEmpty(content.size()) : absl::OkStatus();
}

}  // namespace bsnn::trainer
