#include "worker/trainer/data/events/gesture_labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "base/fault.h"

namespace bsnn::trainer {
namespace {

constexpr std::string_view kFirstLine = "class,startTime_usec,endTime_usec";
constexpr int64_t kTimeMax = int64_t{1} << 53;
constexpr int64_t kMin[] = {1, 0, 0};
constexpr int64_t kMax[] = {kGestureClasses, kTimeMax, kTimeMax};
constexpr const char* kNames[] = {"class", "start", "end"};

absl::Status Fault(size_t offset, const std::string& what) {
  return absl::DataLossError(fmt::format("offset {}: {}", offset, what));
}

/// Takes the text before the next line end from `rest`, and the line end.
std::string_view TakeLine(std::string_view& rest) {
  const size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

absl::StatusOr<std::vector<GesturePiece>> ParseGestureLabels(std::string_view content) {
  std::string_view rest = content;
  const auto offset_of = [&](std::string_view part) {
    return static_cast<size_t>(part.data() - content.data());
  };
  if (const std::string_view line = TakeLine(rest); line != kFirstLine) {
    return Fault(0, fmt::format("the first line is '{}' (allowed: '{}')", base::Shorten(line, 64),
                                kFirstLine));
  }
  std::vector<GesturePiece> pieces;
  while (!rest.empty()) {
    std::string_view line = TakeLine(rest);
    if (line.empty()) continue;
    int64_t values[3] = {};
    for (size_t i = 0; i < 3; ++i) {
      const size_t comma = line.find(',');
      const std::string_view field = line.substr(0, comma);
      const char* const end = field.data() + field.size();
      const auto [parsed, error] = std::from_chars(field.data(), end, values[i]);
      if (error != std::errc() || parsed != end || values[i] < kMin[i] || values[i] > kMax[i]) {
        return Fault(offset_of(field), fmt::format("{} is '{}' (allowed: {} to {})", kNames[i],
                                                   base::Shorten(field, 32), kMin[i], kMax[i]));
      }
      if ((comma == line.npos) != (i == 2)) {
        return Fault(offset_of(field), "the row does not hold three numbers");
      }
      line.remove_prefix(std::min(field.size() + 1, line.size()));
      if (i == 2 && values[2] <= values[1]) {
        return Fault(offset_of(field),
                     fmt::format("end is {} (allowed: after the start, {})", values[2], values[1]));
      }
    }
    pieces.push_back({static_cast<uint8_t>(values[0] - 1), values[1], values[2]});
  }
  if (pieces.empty()) return Fault(content.size(), "no row");
  return pieces;
}

}  // namespace bsnn::trainer
