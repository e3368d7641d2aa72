/// What the labels beside a DVS128 Gesture recording say: which gesture is seen when.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace bsnn::trainer {

inline constexpr int64_t kGestureClasses = 11;

/// Of events with start <= time < end. Pieces of one recording may overlap (science.md §4.1).
struct GesturePiece {
  uint8_t label = 0;  ///< 0 to 10: the file's class less 1
  int64_t start = 0;  ///< microseconds
  int64_t end = 0;    ///< microseconds
  bool operator==(const GesturePiece&) const = default;
};

/// Parses "class,startTime_usec,endTime_usec" and a row of three whole numbers for each piece;
/// lines end with or without a carriage return. DataLoss, with the offset of the field, for another
/// first line, a row with more or fewer fields, a class that is not 1 to 11, a time that is
/// negative or above 2^53, an end that is not after the start, and where there is no row.
absl::StatusOr<std::vector<GesturePiece>> ParseGestureLabels(std::string_view content);

}  // namespace bsnn::trainer
