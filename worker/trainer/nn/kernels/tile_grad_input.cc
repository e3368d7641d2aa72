// dL/dx by tiles.
#include <algorithm>
#include <vector>

#include "worker/trainer/nn/kernels/bit_words.h"
#include "worker/trainer/nn/kernels/matrix_tiles.h"
#include "worker/trainer/nn/kernels/tile_products.h"

namespace bsnn::trainer::kernels {
namespace {

constexpr int64_t kGridBytes = 1 << 19;  // of gradients as tiles at a time: in the second cache
constexpr int64_t kTileHalves = 2 * kTileWords;

/// A tap of the kernel, and how far from a phase's pixel its gradient is.
struct Tap {
  int64_t index, row, column;
};

/// With a stride, dL/dx falls into stride^2 phases: pixel (a, b) of a phase is (a stride + row, b
/// stride + column) of the picture, and meets some of the taps, (a + tap.row, b + tap.column) of
/// dL/dy.
struct Phase {
  int64_t row, column;
  std::vector<Tap> taps;
};

std::vector<Phase> PhasesOf(const BinaryConvShape& s) {
  std::vector<Phase> phases;
  for (int64_t i = 0; i < s.stride * s.stride; ++i) {
    Phase phase{i / s.stride, i % s.stride, {}};
    for (int64_t tap = 0; tap < s.taps(); ++tap) {
      const int64_t h = phase.row + s.padding - tap / s.kernel;
      const int64_t w = phase.column + s.padding - tap % s.kernel;
      if (h % s.stride == 0 && w % s.stride == 0) {
        phase.taps.push_back({tap, h / s.stride, w / s.stride});
      }
    }
    phases.push_back(std::move(phase));
  }
  return phases;
}

/// What one call works in. A tile of gradients is of one pixel of 16 pictures and 32 outputs.
struct GradInputWork {
  const BinaryConvShape& s;
  std::vector<Phase> phases = PhasesOf(s);
  int64_t steps = DivideUp(s.out, kPair);
  int64_t above = 0, below = 0;  ///< rows of dL/dy that taps reach from a phase's row
  int64_t pixel;                 ///< bf16 numbers of a pixel's tiles
  int64_t rows;                  ///< of dL/dy at a time
  int64_t band;                  ///< rows of a phase that these serve
  std::vector<float> scale;      ///< [32 steps], 0 behind the last
  Scratch<uint16_t> grid;        ///< [row % rows][column][step][term] tiles
  Scratch<uint32_t> signs{s.taps() * steps * 2 * kTileWords};
  Scratch<float> block{2 * kTileWords};

  GradInputWork(const BinaryConvShape& shape, const BinaryWeights& weights, int terms)
      : s(shape), pixel(steps * terms * kTileHalves), scale(steps * kPair), grid(PlanRows()) {
    std::copy_n(weights.scale.begin(), s.out, scale.begin());
    std::fill_n(grid.get(), rows * s.out_width() * pixel, uint16_t{});
  }

  uint16_t* Pixel(int64_t row, int64_t column) const {
    return grid.get() + (row % rows * s.out_width() + column) * pixel;
  }

 private:
  /// Sets the numbers of rows; returns the grid's size.
  int64_t PlanRows() {
    for (const Phase& phase : phases) {
      for (const Tap& tap : phase.taps) {
        above = std::max(above, -tap.row);
        below = std::max(below, tap.row);
      }
    }
    const int64_t row = s.out_width() * pixel;
    rows = std::max(kGridBytes / (row * 2), above + below + 1);
    band = rows - above - below;
    if (rows >= s.out_height()) rows = s.out_height(), band = s.height;
    return rows * row;
  }
};

/// scale_o dL/dy of one row of up to 16 pictures. The rest of each tile's rows may be anything: it
/// is of pictures that are not there.
template <int kTerms>
BSNN_INLINE void FillRow(GradInputWork& work, const float* grad_y, int64_t pictures, int64_t row) {
  typedef uint16_t Halves __attribute__((vector_size(32)));
  const BinaryConvShape& s = work.s;
  for (int64_t n = 0; n < pictures; ++n) {
    const float* from = grad_y + (n * s.out_pixels() + row * s.out_width()) * s.out;
    uint16_t* pixel = work.Pixel(row, 0) + n * kPair;
    for (int64_t w = 0; w < s.out_width(); ++w, from += s.out, pixel += work.pixel) {
      for (int64_t o = 0; o < s.out; o += kLanes) {
        Lanes g;
        LoadLanes(from + o, s.out - o, &g);
        if (s.bf16) RoundToBf16(&g, 1);
        LaneBits terms[kTerms];
        Split<kTerms>(g * *reinterpret_cast<const UnalignedLanes*>(work.scale.data() + o), terms);
        uint16_t* const to = pixel + o / kPair * kTerms * kTileHalves + o % kPair;
        for (int term = 0; term < kTerms; ++term) {
          *reinterpret_cast<Halves*>(to + term * kTileHalves) =
              __builtin_convertvector(terms[term] >> 16, Halves);
        }
      }
    }
  }
}

/// The signs of 32 input channels as tiles of -1 and +1, [tap][step][2]; what lies behind the last
/// channel may be either.
BSNN_INLINE void PackSigns(const BinaryConvShape& s, const BinaryWeights& weights, int64_t channel,
                           uint32_t* signs) {
  for (int64_t tap = 0; tap < s.taps(); ++tap) {
    for (int64_t o = 0; o < s.out; o += kPair) {
      const uint64_t* const words =
          weights.back.data() + o / kWordBits * s.words() * kWordBits + tap * s.in;
      for (int64_t c = channel; c < channel + kPair; c += kLanes) {
        LaneBits minus = {};
        for (int64_t i = 0; i < std::min(kLanes, s.in - c); ++i) {
          minus[i] = ~static_cast<uint32_t>(words[c + i] >> o % kWordBits);
        }
        for (int64_t row = 0; row < kTileRows; ++row, minus >>= 2, signs += kLanes) {
          *reinterpret_cast<LaneBits*>(signs) =
              0x3F803F80u | (minus & 1) << 15 | (minus >> 1 & 1) << 31;
        }
      }
    }
  }
}

/// Tiles 0 and 1 (of the first pixel), and 2 and 3 (of the second), += one tap's products. `from`
/// are the gradients of the first of them that takes part.
template <class Tiles, int kTerms, bool kFirst, bool kSecond>
BSNN_INLINE void AddTap(Tiles& tiles, const GradInputWork& work, const uint16_t* from,
                        const uint32_t* signs) {
  for (int64_t step = 0; step < work.steps; ++step, signs += 2 * kTileWords) {
    tiles.template Load<6>(signs, kRowBytes);
    tiles.template Load<7>(signs + kTileWords, kRowBytes);
    for (int term = 0; term < kTerms; ++term, from += kTileHalves) {
      if constexpr (kFirst) tiles.template Load<4>(from, kRowBytes);
      if constexpr (kSecond) {
        tiles.template Load<5>(from + (kFirst ? work.pixel : 0), kRowBytes);
      }
      if constexpr (kFirst) {
        tiles.template Multiply<0, 4, 6>();
        tiles.template Multiply<1, 4, 7>();
      }
      if constexpr (kSecond) {
        tiles.template Multiply<2, 5, 6>();
        tiles.template Multiply<3, 5, 7>();
      }
    }
  }
}

/// Tiles 0 to 3 = dL/dx of the phase's pixels (row, column) and (row, column + 1), of 16 pictures
/// and 32 channels.
template <class Tiles, int kTerms>
BSNN_INLINE void SumTaps(Tiles& tiles, const GradInputWork& work, const Phase& phase, int64_t row,
                         int64_t column) {
  tiles.template Clear<0>();
  tiles.template Clear<1>();
  tiles.template Clear<2>();
  tiles.template Clear<3>();
  const bool two = (column + 1) * work.s.stride + phase.column < work.s.width;
  for (const Tap& tap : phase.taps) {
    const int64_t h = row + tap.row, w = column + tap.column, width = work.s.out_width();
    if (h < 0 || h >= work.s.out_height()) continue;
    const bool first = w >= 0 && w < width, second = two && w + 1 >= 0 && w + 1 < width;
    const uint16_t* const from = work.Pixel(h, first ? w : w + 1);
    const uint32_t* const signs = work.signs.get() + tap.index * work.steps * 2 * kTileWords;
    if (first && second) {
      AddTap<Tiles, kTerms, true, true>(tiles, work, from, signs);
    } else if (first) {
      AddTap<Tiles, kTerms, true, false>(tiles, work, from, signs);
    } else if (second) {
      AddTap<Tiles, kTerms, false, true>(tiles, work, from, signs);
    }
  }
}

/// One of the two pixels' tiles to `to`, the pixel's 32 channels in the first of the pictures.
template <class Tiles, int kFirstTile>
BSNN_INLINE void WritePixel(Tiles& tiles, GradInputWork& work, int64_t pictures, int64_t channels,
                            float* to) {
  const int64_t picture = work.s.height * work.s.width * work.s.in;
  if (pictures == kTileRows && channels >= kPair) {
    tiles.template Store<kFirstTile>(to, picture * 4);
    tiles.template Store<kFirstTile + 1>(to + kTileRows, picture * 4);
    return;
  }
  float* const block = work.block.get();
  tiles.template Store<kFirstTile>(block, kPair * 4);
  tiles.template Store<kFirstTile + 1>(block + kTileRows, kPair * 4);
  for (int64_t n = 0; n < pictures; ++n) {
    CopyFloats(block + n * kPair, std::min(kPair, channels), to + n * picture);
  }
}

/// dL/dx of up to 16 pictures.
template <class Tiles, int kTerms>
BSNN_INLINE void GradInput(GradInputWork& work, const BinaryWeights& weights, const float* grad_y,
                           float* grad_x, int64_t pictures) {
  const BinaryConvShape& s = work.s;
  Tiles tiles;
  int64_t filled = 0;
  for (int64_t first = 0; first * s.stride < s.height; first += work.band) {
    const int64_t last = first + work.band;
    for (; filled < std::min(s.out_height(), last + work.below); ++filled) {
      FillRow<kTerms>(work, grad_y, pictures, filled);
    }
    for (int64_t channel = 0; channel < s.in; channel += kPair) {
      PackSigns(s, weights, channel, work.signs.get());
      for (const Phase& phase : work.phases) {
        for (int64_t a = first; a < last; ++a) {
          const int64_t h = a * s.stride + phase.row;
          if (h >= s.height) break;
          for (int64_t b = 0, w = phase.column; w < s.width; b += 2, w += 2 * s.stride) {
            SumTaps<Tiles, kTerms>(tiles, work, phase, a, b);
            float* const to = grad_x + (h * s.width + w) * s.in + channel;
            WritePixel<Tiles, 0>(tiles, work, pictures, s.in - channel, to);
            if (w + s.stride >= s.width) continue;
            WritePixel<Tiles, 2>(tiles, work, pictures, s.in - channel, to + s.stride * s.in);
          }
        }
      }
    }
  }
}

/// A gradient that was rounded to bf16 stays one bf16 number where its scale is a power of two.
bool ScalesByPowersOfTwo(const BinaryConvShape& s, const BinaryWeights& weights) {
  return std::all_of(weights.scale.begin(), weights.scale.begin() + s.out,
                     [](float scale) { return (std::bit_cast<uint32_t>(scale) & 0x7FFFFFu) == 0; });
}

template <class Tiles, int kTerms>
BSNN_INLINE void GradInputUnitsOf(const BinaryConvShape& s, const BinaryWeights& weights,
                                  const float* grad_y, float* grad_x, int64_t first, int64_t last) {
  GradInputWork work(s, weights, kTerms);
  for (int64_t n = first * kLanes; n < std::min(last * kLanes, s.pictures); n += kLanes) {
    GradInput<Tiles, kTerms>(work, weights, grad_y + n * s.out_pixels() * s.out,
                             grad_x + n * s.height * s.width * s.in,
                             std::min(kLanes, s.pictures - n));
  }
}

template <class Tiles>
BSNN_INLINE void RunGradInputOn(const BinaryConvShape& s, const BinaryWeights& weights,
                                const float* grad_y, float* grad_x, int64_t first, int64_t last) {
  if (s.bf16 && ScalesByPowersOfTwo(s, weights)) {
    GradInputUnitsOf<Tiles, 1>(s, weights, grad_y, grad_x, first, last);
  } else {
    GradInputUnitsOf<Tiles, 2>(s, weights, grad_y, grad_x, first, last);
  }
}

#if defined(BSNN_WITH_AMX)
BSNN_WITH_AMX void GradInputByAmx(const BinaryConvShape& s, const BinaryWeights& weights,
                                  const float* grad_y, float* grad_x, int64_t first, int64_t last) {
  RunGradInputOn<AmxTiles>(s, weights, grad_y, grad_x, first, last);
}
#endif

}  // namespace

void GradInputByTiles(const BinaryConvShape& s, const BinaryWeights& weights, const float* grad_y,
                      float* grad_x, int64_t first, int64_t last) {
#if defined(BSNN_WITH_AMX)
  if (s.unit == ProductUnit::kAmx) {
    return GradInputByAmx(s, weights, grad_y, grad_x, first, last);
  }
#endif
  RunGradInputOn<PlainTiles>(s, weights, grad_y, grad_x, first, last);
}

}  // namespace bsnn::trainer::kernels
