#include <vector>

#include "worker/trainer/nn/kernels/bit_words.h"
#include "worker/trainer/nn/kernels/lif.h"
#include "worker/trainer/nn/kernels/lif_pool.h"
#include "worker/trainer/nn/kernels/lif_step.h"
#include "worker/trainer/nn/kernels/tile.h"

namespace bsnn::trainer::kernels {
namespace {

/// Bytes 0 or 1 of the pixels from `pixel` on, as bits of picture n.
BSNN_INLINE void PackTile(const SpikeBits& bits, int64_t n, int64_t pixel, int64_t channels,
                          const uint8_t* bytes, int64_t count) {
  const int64_t pixel_bytes = channels / 8;
  for (int64_t done = 0; done < count;) {
    const int64_t at = pixel + done / channels, row = at / bits.width, column = at % bits.width;
    const int64_t run = std::min(count - done, (bits.width - column) * channels);
    uint8_t* const to = bits.data + n * bits.picture + (row + bits.padding) * bits.row +
                        (column + bits.padding) * pixel_bytes;
    PackBytes(bytes + done, run, to);
    done += run;
  }
}

template <bool kHard, bool kAffine, bool kKeep>
BSNN_INLINE void ForwardPictures(const LifForward& a, int64_t first, int64_t last) {
  const PooledTiles pool(a.shape);
  const Tiling tiling = pool.tiling;
  const int64_t tile = tiling.tile;
  const int64_t maps = a.same_input ? 1 : a.shape.steps;
  const float decay = static_cast<float>(a.neuron.decay);
  const float threshold = static_cast<float>(a.neuron.threshold);
  std::vector<float> v(tile), scale(kAffine ? maps * tile : 0), shift(kAffine ? maps * tile : 0);
  std::vector<float> unpooled(pool.on ? tile : 0);
  std::vector<int64_t> fired(a.shape.steps);
  for (int64_t b = first; b < last; ++b) {
    for (int64_t t = 0; kAffine && t < maps; ++t) {
      const int64_t row = (t * a.shape.batch + b) * a.shape.channels;
      Repeat(a.scale + row, tiling, scale.data() + t * tile);
      Repeat(a.shift + row, tiling, shift.data() + t * tile);
    }
    std::fill(fired.begin(), fired.end(), 0);
    for (int64_t begin = 0; begin < tiling.plane; begin += tile) {
      const int64_t count = std::min(tile, tiling.plane - begin);
      std::fill(v.begin(), v.end(), 0.0f);
      for (int64_t t = 0; t < a.shape.steps; ++t) {
        const int64_t out = (t * a.shape.batch + b) * tiling.plane + begin;
        const int64_t in = a.same_input ? b * tiling.plane + begin : out;
        const int64_t map = kAffine && !a.same_input ? t * tile : 0;
        fired[t] += FireTile<kHard, kAffine, kKeep>(
            a.x + in, scale.data() + map, shift.data() + map, v.data(),
            pool.on ? unpooled.data() : a.spikes + out, kKeep ? a.potential + out : nullptr, count,
            decay, threshold);
        if (pool.on && count == tile) {
          PoolTile(pool, unpooled.data(), a.spikes + pool.Begin(t * a.shape.batch + b, begin));
        }
      }
    }
    for (int64_t t = 0; a.spike_count != nullptr && t < a.shape.steps; ++t) {
      a.spike_count[t * a.shape.batch + b] = fired[t];
    }
  }
}

/// The next kSteps steps of a tile, from x and v behind the steps before. Spikes leave as bytes,
/// `tile` apart. Adds how many there are to fired[t].
template <int kSteps, bool kHard>
BSNN_INLINE void FireSteps(const float* x, int64_t step, int64_t count, int64_t tile, float decay,
                           float threshold, float* __restrict v, uint8_t* __restrict bytes,
                           int64_t* fired) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    float behind = v[i];
#pragma GCC unroll 4
    for (int t = 0; t < kSteps; ++t) {
      const float u = decay * behind + x[t * step + i];
      behind = Reset<kHard>(u, threshold);
      bytes[t * tile + i] = u > threshold ? 1 : 0;
    }
    v[i] = behind;
  }
  for (int t = 0; t < kSteps; ++t) {
    int32_t sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += bytes[t * tile + i];
    fired[t] += sum;
  }
}

struct BitsScratch {
  std::vector<float> v;
  std::vector<uint8_t> bytes;
  std::vector<int64_t> fired;
};

/// Spikes of one picture as bits, from an input without a map.
template <bool kHard>
BSNN_INLINE void ForwardBits(const LifForward& a, const Tiling& tiling, int64_t b, BitsScratch& w) {
  const int64_t tile = tiling.tile, steps = a.shape.steps, batch = a.shape.batch;
  const int64_t step = a.same_input ? 0 : batch * tiling.plane;
  const float decay = static_cast<float>(a.neuron.decay);
  const float threshold = static_cast<float>(a.neuron.threshold);
  std::fill(w.fired.begin(), w.fired.end(), 0);
  for (int64_t n = b; n < steps * batch; n += batch) {
    std::fill_n(a.bits.data + n * a.bits.picture, a.bits.picture, uint8_t{0});
  }
  for (int64_t begin = 0; begin < tiling.plane; begin += tile) {
    const int64_t count = std::min(tile, tiling.plane - begin);
    const float* const x = a.x + b * tiling.plane + begin;
    std::fill(w.v.begin(), w.v.end(), 0.0f);
    for (int64_t t = 0; t < steps;) {
      const auto fire = [&]<int kSteps>() __attribute__((always_inline)) {
        FireSteps<kSteps, kHard>(x + t * step, step, count, tile, decay, threshold, w.v.data(),
                                 w.bytes.data() + t * tile, w.fired.data() + t);
        t += kSteps;
      };
      if (steps - t >= 4) {
        fire.template operator()<4>();
      } else if (steps - t >= 2) {
        fire.template operator()<2>();
      } else {
        fire.template operator()<1>();
      }
    }
    for (int64_t t = 0; t < steps; ++t) {
      PackTile(a.bits, t * batch + b, begin / tiling.channels, tiling.channels,
               w.bytes.data() + t * tile, count);
    }
  }
  for (int64_t t = 0; a.spike_count != nullptr && t < steps; ++t) {
    a.spike_count[t * batch + b] = w.fired[t];
  }
}

template <bool kHard>
BSNN_INLINE void ForwardReset(const LifForward& a, int64_t first, int64_t last) {
  if (a.bits.data != nullptr) {
    const Tiling tiling(a.shape.pixels, a.shape.channels);
    BitsScratch scratch{std::vector<float>(tiling.tile),
                        std::vector<uint8_t>(a.shape.steps * tiling.tile),
                        std::vector<int64_t>(a.shape.steps)};
    for (int64_t b = first; b < last; ++b) ForwardBits<kHard>(a, tiling, b, scratch);
    return;
  }
  if (a.scale != nullptr) {
    if (a.potential != nullptr) return ForwardPictures<kHard, true, true>(a, first, last);
    return ForwardPictures<kHard, true, false>(a, first, last);
  }
  if (a.potential != nullptr) return ForwardPictures<kHard, false, true>(a, first, last);
  return ForwardPictures<kHard, false, false>(a, first, last);
}

}  // namespace

BSNN_CLONES void RunLifForward(const LifForward& args, int64_t first, int64_t last) {
  if (args.neuron.reset == spec::Reset::kHard) return ForwardReset<true>(args, first, last);
  return ForwardReset<false>(args, first, last);
}

}  // namespace bsnn::trainer::kernels
