/// What a network is given.
#pragma once

#include <cstdint>

namespace bsnn::trainer {

/// One picture, or one recording as frames, and the number of classes.
struct InputShape {
  int64_t channels = 1;
  int64_t height = 28;
  int64_t width = 28;
  int64_t classes = 10;
  int64_t frames = 1;  ///< 1: the same picture at each time step; else one frame for each

  /// Of one picture, or of all frames.
  int64_t values() const { return frames * channels * height * width; }
};

}  // namespace bsnn::trainer
