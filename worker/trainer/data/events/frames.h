/// Recordings cut into frames: how many events each pixel had in each of a number of time slices.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/data/events/recording.h"

namespace bsnn::trainer {

struct FrameCut {
  spec::FramesBy by = spec::FramesBy::kNumber;
  int64_t frames = 1;       ///< M: made by number and time; by duration only the first M are kept
  int64_t duration_us = 1;  ///< D: of a frame, by duration
};

/// What must be known of all events before the first is put into a frame.
struct EventSurvey {
  int64_t events = 0;                                   ///< N
  int64_t first = std::numeric_limits<int64_t>::max();  ///< earliest time, microseconds
  int64_t last = std::numeric_limits<int64_t>::min();   ///< latest time

  void Add(const SensorEvent& event);
};

/// Adds events up in frames, as SpikingJelly does (science.md §4.3). Slices:
///
/// by number    d = floor(N / M); frame j has events j d up to (j + 1) d, the last frame the rest
/// too by time      d = floor((last - first) / M); frame j has times first + j d up to first + (j +
/// 1) d,
///              the last frame the rest too; where d is 0 all are the rest
/// by duration  ceil((last - first) / D) frames, at least one; an event is in frame
///              floor((t - first) / D), or in the last where that is beyond
///
/// SpikingJelly takes the first and the last event's time; in recordings whose times run backward
/// earliest and latest are others, and here these count. A slice without events is a frame of
/// zeros.
class FrameBuilder {
 public:
  /// Frames of `side` x `side` pixels. Where the survey has no event, the one frame (by number and
  /// time: each frame) is zeros.
  FrameBuilder(const FrameCut& cut, const EventSurvey& survey, int32_t side);

  /// The next event, in the order of the survey, with pixels below the side. No more than surveyed.
  void Add(const SensorEvent& event);

  int64_t frames() const { return kept_; }
  /// [frames, 2, side, side] row-major: events with polarity 0, then 1, of row y and column x.
  const std::vector<uint32_t>& counts() const { return counts_; }

 private:
  const FrameCut cut_;
  const int64_t first_;
  const int64_t side_;
  int64_t frames_ = 1;  ///< that the recording has
  int64_t kept_ = 1;    ///< of these, the first
  int64_t slice_ = 0;   ///< events or microseconds of a frame; 0: all in the last
  int64_t index_ = 0;   ///< of the next event
  std::vector<uint32_t> counts_;
};

}  // namespace bsnn::trainer
