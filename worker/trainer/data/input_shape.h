/// What a network is given.
#pragma once

#include <cstdint>

namespace bsnn::trainer {

/// One picture and the number of classes.
struct InputShape {
  int64_t channels = 1;
  int64_t height = 28;
  int64_t width = 28;
  int64_t classes = 10;

  /// Of one picture.
  int64_t values() const { return channels * height * width; }
};

}  // namespace bsnn::trainer
