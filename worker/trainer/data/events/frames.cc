#include "worker/trainer/data/events/frames.h"

#include <algorithm>

namespace bsnn::trainer {

void EventSurvey::Add(const SensorEvent& event) {
  ++events;
  first = std::min(first, event.time);
  last = std::max(last, event.time);
}

FrameBuilder::FrameBuilder(const FrameCut& cut, const EventSurvey& survey, int32_t side)
    : cut_(cut), first_(survey.first), side_(side) {
  const int64_t span = survey.events > 0 ? survey.last - survey.first : 0;
  if (cut.by == spec::FramesBy::kDuration) {
    slice_ = cut.duration_us;
    frames_ = std::max<int64_t>(1, span / slice_ + (span % slice_ != 0));
    kept_ = std::min(frames_, cut.frames);
  } else {
    frames_ = kept_ = cut.frames;
    slice_ = (cut.by == spec::FramesBy::kNumber ? survey.events : span) / frames_;
  }
  counts_.resize(static_cast<size_t>(kept_ * 2 * side_ * side_));
}

void FrameBuilder::Add(const SensorEvent& event) {
  const int64_t at = cut_.by == spec::FramesBy::kNumber ? index_ : event.time - first_;
  ++index_;
  const int64_t frame = slice_ == 0 ? frames_ - 1 : std::min(at / slice_, frames_ - 1);
  if (frame >= kept_) return;
  ++counts_[static_cast<size_t>(((frame * 2 + event.on) * side_ + event.y) * side_ + event.x)];
}

}  // namespace bsnn::trainer
