// dL/dweight by tiles.
#include <algorithm>

#include "worker/trainer/nn/kernels/bit_words.h"
#include "worker/trainer/nn/kernels/matrix_tiles.h"
#include "worker/trainer/nn/kernels/tile_products.h"

namespace bsnn::trainer::kernels {
namespace {

constexpr int64_t kBandSteps = 32;               // of tiles that are added up at a time
constexpr int64_t kMerged = kWordBits / kLanes;  // pixels whose bits are transposed together
constexpr int64_t kChannelWord = kWordBits;      // channels of a plane
constexpr int64_t kStepWords = 2 * kTileWords;   // of two tiles

/// What one call works in. A step sums over 32 numbers, two neighbouring output pixels of 16
/// pictures; a picture's two are a pair of bf16 numbers in the tiles, the left one first.
struct GradWeightWork {
  const BinaryConvShape& s;
  Range groups;
  int64_t pairs = DivideUp(groups.last - groups.first, 2);
  int64_t steps = DivideUp(s.out_width(), 2);                            ///< of a row of outputs
  int64_t band = std::min(DivideUp(kBandSteps, steps), s.out_height());  ///< rows at a time
  int64_t height = s.height + 2 * s.padding, width = s.width + 2 * s.padding;
  int64_t padded = DivideUp(width, kMerged) * kMerged;
  /// [64 channels][row][column][channel]: a pixel's spikes in 16 pictures as bits.
  Scratch<uint16_t> planes{DivideUp(s.in, kChannelWord) * height * padded * kChannelWord};
  /// [row][step][2] tiles: 32 channels, 0 or 1 in bf16.
  Scratch<uint32_t> spikes{((band - 1) * s.stride + s.kernel) * steps * kStepWords};
  Scratch<uint32_t> reals;  ///< [pair of groups][row][step][term][2] tiles: 16 outputs

  GradWeightWork(const BinaryConvShape& shape, Range outputs, int terms)
      : s(shape), groups(outputs), reals(pairs * band * steps * terms * kStepWords) {}

  uint16_t* Plane(int64_t channel, int64_t row, int64_t column) const {
    return planes.get() +
           ((channel / kChannelWord * height + row) * padded + column) * kChannelWord +
           channel % kChannelWord;
  }
};

/// The spikes' bits of up to 16 pictures, turned from channels of a picture to pictures of a
/// channel. Where there is no picture any bits will do: its gradients count as 0.
BSNN_INLINE void FillPlanes(GradWeightWork& work, const uint8_t* bits, int64_t pictures) {
  const BinaryConvShape& s = work.s;
  alignas(64) uint64_t words[kWordBits];
  for (int64_t channel = 0; channel < s.in; channel += kChannelWord) {
    for (int64_t row = 0; row < work.height; ++row) {
      for (int64_t column = 0; column < work.padded; column += kMerged) {
        for (int64_t i = 0; i < kWordBits; i += kLanes) {
          const int64_t w = std::min(column + i / kLanes, work.width - 1);
          const uint8_t* from = bits + row * s.bit_row() + (w * s.in + channel) / 8;
          for (int64_t n = 0; n < kLanes; ++n) {
            std::memcpy(words + i + n, from, sizeof(*words));
            if (n + 1 < pictures) from += s.bit_picture();
          }
        }
        TransposeBits(words);
        for (int64_t i = 0; i < kMerged; ++i) {
          uint16_t* const plane = work.Plane(channel, row, column + i);
          for (int64_t c = 0; c < kChannelWord; ++c) {
            plane[c] = static_cast<uint16_t>(words[c] >> i * kLanes);
          }
        }
      }
    }
  }
}

/// The spikes of 32 channels that one column of the kernel meets for outputs in `rows`, as tiles.
BSNN_INLINE void FillSpikes(const GradWeightWork& work, Range rows, int64_t channel,
                            int64_t column) {
  typedef uint16_t Spread __attribute__((vector_size(64)));
  const BinaryConvShape& s = work.s;
  Spread bit;
  for (int i = 0; i < 32; ++i) bit[i] = static_cast<uint16_t>(1 << i / 2);
  uint32_t* to = work.spikes.get();
  const int64_t last = (rows.last - 1) * s.stride + s.kernel;
  for (int64_t row = rows.first * s.stride; row < last; ++row) {
    for (int64_t step = 0; step < work.steps; ++step) {
      const int64_t right = std::min(2 * step + 1, s.out_width() - 1);
      const uint16_t* const low = work.Plane(channel, row, 2 * step * s.stride + column);
      const uint16_t* const high = work.Plane(channel, row, right * s.stride + column);
      uint32_t both[kPair];
      for (int64_t c = 0; c < kPair; ++c) both[c] = low[c] | uint32_t{high[c]} << 16;
      for (int64_t c = 0; c < kPair; ++c, to += kLanes) {
        const auto pixels = reinterpret_cast<Spread>(LaneBits{} + both[c]);
        *reinterpret_cast<Spread*>(to) = reinterpret_cast<Spread>((pixels & bit) != 0) & 0x3F80;
      }
    }
  }
}

/// dL/dy in `rows` of up to 16 pictures as tiles; 0 where there is no pixel, picture or group.
template <int kTerms>
BSNN_INLINE void FillReals(const GradWeightWork& work, const float* grad_y, int64_t pictures,
                           Range rows) {
  const BinaryConvShape& s = work.s;
  const int64_t step_words = kTerms * kStepWords;
  for (int64_t row = rows.first; row < rows.last; ++row) {
    for (int64_t n = 0; n < kLanes; ++n) {
      for (int64_t step = 0; step < work.steps; ++step) {
        const float* const left =
            grad_y + ((n * s.out_height() + row) * s.out_width() + 2 * step) * s.out;
        const bool has_right = 2 * step + 1 < s.out_width();
        uint32_t* const to =
            work.reals.get() + ((row - rows.first) * work.steps + step) * step_words + n * kLanes;
        for (int64_t i = 0; i < 2 * work.pairs; ++i) {
          const int64_t group = work.groups.first + i, o = group * kLanes;
          Lanes low = {}, high = {};
          if (n < pictures && group < work.groups.last) {
            LoadLanes(left + o, s.out - o, &low);
            if (has_right) LoadLanes(left + s.out + o, s.out - o, &high);
          }
          LaneBits lows[kTerms], highs[kTerms];
          Split<kTerms>(low, lows);
          Split<kTerms>(high, highs);
          uint32_t* const tile =
              to + i / 2 * work.band * work.steps * step_words + i % 2 * kTileWords;
          for (int term = 0; term < kTerms; ++term) {
            *reinterpret_cast<LaneBits*>(tile + term * kStepWords) =
                lows[term] >> 16 | (highs[term] & kHigh);
          }
        }
      }
    }
  }
}

/// Tiles 0 to 3 += a row's products.
template <class Tiles, int kTerms>
BSNN_INLINE void AddRow(Tiles& tiles, const uint32_t* spikes, const uint32_t* reals,
                        int64_t steps) {
  for (int64_t step = 0; step < steps; ++step, spikes += kStepWords) {
    tiles.template Load<4>(spikes, kRowBytes);
    tiles.template Load<5>(spikes + kTileWords, kRowBytes);
    for (int term = 0; term < kTerms; ++term, reals += kStepWords) {
      tiles.template Load<6>(reals, kRowBytes);
      tiles.template Load<7>(reals + kTileWords, kRowBytes);
      MultiplyFour(tiles);
    }
  }
}

/// Sums of one tap, 32 channels and two groups of outputs += those of `rows`. The spikes are those
/// that the tap's column meets.
template <class Tiles, int kTerms>
BSNN_INLINE void SumRows(Tiles& tiles, const GradWeightWork& work, Range rows, int64_t tap,
                         int64_t channel, int64_t pair, Lanes* sums) {
  const BinaryConvShape& s = work.s;
  Lanes spare[4][kTileRows];  // for a tile that is not there as a whole
  Lanes *from[4], *tile[4];
  int64_t count[4];
  for (int i = 0; i < 4; ++i) {
    const int64_t group = work.groups.first + 2 * pair + i % 2, c = channel + i / 2 * kTileRows;
    from[i] = sums + group * s.words() * kWordBits + tap * s.in + c;
    count[i] = group < work.groups.last ? std::clamp<int64_t>(s.in - c, 0, kTileRows) : 0;
    tile[i] = count[i] == kTileRows ? from[i] : spare[i];
    if (tile[i] == spare[i]) std::copy_n(from[i], count[i], spare[i]);
  }
  tiles.template Load<0>(tile[0], kRowBytes);
  tiles.template Load<1>(tile[1], kRowBytes);
  tiles.template Load<2>(tile[2], kRowBytes);
  tiles.template Load<3>(tile[3], kRowBytes);
  const int64_t row_words = work.steps * kTerms * kStepWords;
  const uint32_t* reals = work.reals.get() + pair * work.band * row_words;
  for (int64_t row = rows.first; row < rows.last; ++row, reals += row_words) {
    const int64_t h = row * s.stride + tap / s.kernel;
    if (h < s.padding || h >= s.padding + s.height) continue;  // no spikes
    const int64_t at = (h - rows.first * s.stride) * work.steps * kStepWords;
    AddRow<Tiles, kTerms>(tiles, work.spikes.get() + at, reals, work.steps);
  }
  tiles.template Store<0>(tile[0], kRowBytes);
  tiles.template Store<1>(tile[1], kRowBytes);
  tiles.template Store<2>(tile[2], kRowBytes);
  tiles.template Store<3>(tile[3], kRowBytes);
  for (int i = 0; i < 4; ++i) {
    if (tile[i] == spare[i]) std::copy_n(spare[i], count[i], from[i]);
  }
}

template <class Tiles, int kTerms>
BSNN_INLINE void AddUnits(const BinaryConvShape& s, const uint8_t* bits, const float* grad_y,
                          Range units, Range groups, Lanes* sums) {
  GradWeightWork work(s, groups, kTerms);
  Tiles tiles;
  for (int64_t n = units.first * kLanes; n < std::min(units.last * kLanes, s.pictures);
       n += kLanes) {
    const int64_t pictures = std::min(kLanes, s.pictures - n);
    const float* const gradients = grad_y + n * s.out_pixels() * s.out;
    FillPlanes(work, bits + n * s.bit_picture(), pictures);
    for (int64_t row = 0; row < s.out_height(); row += work.band) {
      const Range rows{row, std::min(row + work.band, s.out_height())};
      FillReals<kTerms>(work, gradients, pictures, rows);
      for (int64_t channel = 0; channel < s.in; channel += kPair) {
        for (int64_t column = 0; column < s.kernel; ++column) {
          FillSpikes(work, rows, channel, column);
          for (int64_t pair = 0; pair < work.pairs; ++pair) {
            for (int64_t tap = column; tap < s.taps(); tap += s.kernel) {
              SumRows<Tiles, kTerms>(tiles, work, rows, tap, channel, pair, sums);
            }
          }
        }
      }
    }
  }
}

template <class Tiles>
BSNN_INLINE void AddUnitsOn(const BinaryConvShape& s, const uint8_t* bits, const float* grad_y,
                            Range units, Range groups, Lanes* sums) {
  if (s.bf16) {
    AddUnits<Tiles, 1>(s, bits, grad_y, units, groups, sums);
  } else {
    AddUnits<Tiles, 2>(s, bits, grad_y, units, groups, sums);
  }
}

#if defined(BSNN_WITH_AMX)
BSNN_WITH_AMX void AddUnitsByAmx(const BinaryConvShape& s, const uint8_t* bits, const float* grad_y,
                                 Range units, Range groups, Lanes* sums) {
  AddUnitsOn<AmxTiles>(s, bits, grad_y, units, groups, sums);
}
#endif

}  // namespace

void AddGradWeightByTiles(const BinaryConvShape& s, const uint8_t* bits, const float* grad_y,
                          Range units, Range groups, Lanes* sums) {
#if defined(BSNN_WITH_AMX)
  if (s.unit == ProductUnit::kAmx) {
    return AddUnitsByAmx(s, bits, grad_y, units, groups, sums);
  }
#endif
  AddUnitsOn<PlainTiles>(s, bits, grad_y, units, groups, sums);
}

}  // namespace bsnn::trainer::kernels
