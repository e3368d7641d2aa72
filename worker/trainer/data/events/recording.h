/// Recordings of event cameras: the three file formats that published data sets come in.
///
/// A parser hands on one event after the other and keeps none, whatever the content says: memory is
/// the content's alone. Faults are DataLoss with the offset, the value met and what is allowed;
/// events before the fault have been handed on. A recording without an event is a fault.
#pragma once

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <cstdint>
#include <string_view>

namespace bsnn::trainer {

struct SensorEvent {
  int64_t time = 0;  ///< microseconds, on the recording's own clock
  int32_t x = 0;     ///< column; 0 is left
  int32_t y = 0;     ///< row; 0 is on top
  int32_t on = 0;    ///< polarity: 1 or 0
  bool operator==(const SensorEvent&) const = default;
};

using EventVisitor = absl::FunctionRef<void(const SensorEvent&)>;

inline constexpr int32_t kAtisSide = 34;     ///< N-MNIST's pixels
inline constexpr int32_t kDvs128Side = 128;  ///< CIFAR10-DVS's and DVS128 Gesture's pixels

/// N-MNIST: 5 bytes an event: x, y, then one bit polarity and 23 bits time, big-endian. An event
/// with y = 240 is none: it says that all later times are 2^13 µs later than written. Pixels below
/// kAtisSide. Source: science.md §4.1; Orchard et al., Frontiers in Neuroscience 9:437, 2015.
absl::Status ParseAtis(std::string_view content, EventVisitor visit);

/// CIFAR10-DVS: AEDAT 2: lines of text that begin with '#', then 8 bytes an event: address and
/// time, big-endian. Bit 0 of the address is the polarity, bits 1 to 7 x, bits 8 to 14 y; events
/// with bit 15 are the camera's own marks and left out; no bit above. Handed on are (127 - y, 127 -
/// x, 1 - polarity), as SpikingJelly does (science.md §4.1).
///
/// A line of the header holds printable characters alone. What begins with '#' and is no such line
/// is taken for data, and refused there by its address.
absl::Status ParseAedat2(std::string_view content, EventVisitor visit);

/// DVS128 Gesture: AEDAT 3.1: lines of text from "#!AER-DAT3.1" to "#!END-HEADER", then packets,
/// little-endian: a header of 28 bytes and `capacity` events, the first `number` of which are used.
/// Packets of polarity events (type 1) have 8 bytes an event: bit 0 says whether it is valid, bit 1
/// the polarity, bits 2 to 16 y, bits 17 to 31 x, then 31 bits time below the packet's overflow
/// count. Events that are not valid and other packets are left out. Pixels below kDvs128Side.
/// Source: science.md §4.1; iniVation, "AEDAT 3.1".
absl::Status ParseAedat3(std::string_view content, EventVisitor visit);

}  // namespace bsnn::trainer
