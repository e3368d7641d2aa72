/// How threads share the numbers of channels-last activations [N, P, C]. Private to nn/cuda.
///
/// A picture's P C numbers go to S C / V threads: lane l takes V neighbouring channels of the
/// pixels s, s + S, s + 2 S ... with l V = s C + c. Neighbouring threads so read neighbouring
/// memory, and each thread keeps its channels. Per-lane sums are added up later, in an order that
/// is fixed.
#pragma once

#include "worker/trainer/nn/cuda/executor.h"

namespace bsnn::trainer::cuda {

/// V floats, moved in one access.
template <int V>
struct alignas(V * sizeof(float)) Pack {
  float v[V];
};

template <int V>
BSNN_INLINE Pack<V> Load(const float* from) {
  return *reinterpret_cast<const Pack<V>*>(from);
}
template <int V>
BSNN_INLINE void Store(float* to, const Pack<V>& pack) {
  *reinterpret_cast<Pack<V>*>(to) = pack;
}

struct Lanes {
  int64_t plane = 0;  ///< P C
  int32_t channels = 1;
  int32_t strips = 1;  ///< S

  Lanes() = default;
  Lanes(int64_t pixels, int64_t channel_count)
      : plane(pixels * channel_count),
        channels(static_cast<int32_t>(channel_count)),
        strips(static_cast<int32_t>(StripsOf(pixels))) {}

  /// About 16 pixels a thread where there are many, 8 where there are few.
  static int64_t StripsOf(int64_t pixels) {
    const int64_t each = pixels >= 256 ? 16 : 8;
    return (pixels + each - 1) / each;
  }

  BSNN_INLINE int64_t width() const { return static_cast<int64_t>(strips) * channels; }
  int64_t pixels() const { return plane / channels; }
  /// Whether four channels may go together.
  bool wide() const { return channels % 4 == 0; }
  /// How many pixels strip s has.
  BSNN_INLINE int64_t PixelsOf(int64_t strip) const {
    return (plane / channels - strip + strips - 1) / strips;
  }
};

/// One thread's place among `pictures` pictures.
template <int V>
struct Lane {
  int64_t picture;
  int64_t first;    ///< index in the picture of the lane's first number
  int32_t channel;  ///< of that number
  bool active;

  BSNN_INLINE Lane(const Place& at, const Lanes& lanes, int64_t pictures) {
    const int64_t width = lanes.width() / V;
    picture = at.index() / width;
    first = (at.index() - picture * width) * V;
    channel = static_cast<int32_t>(first % lanes.channels);
    active = picture < pictures && first < lanes.plane;
  }
};

}  // namespace bsnn::trainer::cuda
