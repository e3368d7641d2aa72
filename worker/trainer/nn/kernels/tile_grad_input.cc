// dL/dx by tiles.
#include <vector>

#include "worker/trainer/nn/kernels/matrix_tiles.h"
#include "worker/trainer/nn/kernels/tile_products.h"

namespace bsnn::trainer::kernels {
namespace {

BSNN_INLINE int64_t RoundUp(int64_t a, int64_t b) { return DivideUp(a, b) * b; }

constexpr int64_t kGridBytes = 1 << 20;  // of gradients as bf16 at a time: in the second cache

/// Gradients dL/dy of some pictures as one run of pixels, with so many zeros between rows and
/// pictures that each tap finds all its gradients one fixed distance away. With a stride, dL/dx
/// falls into stride^2 phases, each with taps and a grid of its own; a phase's pixel (a, b) is
/// (a stride + row, b stride + column) of the picture.
struct Grid {
  int64_t before = 0;  ///< rows and columns that a tap reaches before the first
  int64_t after = 0;   ///< and past a phase's last
  int64_t pitch;       ///< pixels from one row to the next
  int64_t picture;     ///< and from one picture to the next
  int64_t lead;        ///< zeros before the first

  explicit Grid(const BinaryConvShape& s) {
    for (int64_t phase = 0; phase < s.stride; ++phase) {
      for (int64_t k = 0; k < s.kernel; ++k) {
        if (!Reaches(s, phase, k)) continue;
        before = std::max(before, -Distance(s, phase, k));
        after = std::max(after, Distance(s, phase, k));
      }
    }
    pitch = Run(s, s.out_width(), s.width);
    picture = pitch * Run(s, s.out_height(), s.height);
    lead = before * (pitch + 1);
  }

  /// Along one axis: whether tap k links the phase to any output, and how far away.
  static bool Reaches(const BinaryConvShape& s, int64_t phase, int64_t k) {
    return (phase + s.padding - k) % s.stride == 0;
  }
  static int64_t Distance(const BinaryConvShape& s, int64_t phase, int64_t k) {
    return (phase + s.padding - k) / s.stride;
  }

  int64_t pixels(int64_t pictures) const {
    return lead + RoundUp(pictures * picture, kPair) + after * (pitch + 1);
  }

 private:
  int64_t Run(const BinaryConvShape& s, int64_t outputs, int64_t inputs) const {
    return std::max(outputs + before, DivideUp(inputs, s.stride) + after);
  }
};

struct Tap {
  int64_t index;
  int64_t distance;  ///< in the grid's pixels
};

/// A pixel's phase, and its taps.
struct Phase {
  int64_t row, column;
  std::vector<Tap> taps;
};

std::vector<Phase> PhasesOf(const BinaryConvShape& s, const Grid& grid) {
  std::vector<Phase> phases;
  for (int64_t i = 0; i < s.stride * s.stride; ++i) {
    Phase phase{i / s.stride, i % s.stride, {}};
    for (int64_t tap = 0; tap < s.taps(); ++tap) {
      const int64_t h = tap / s.kernel, w = tap % s.kernel;
      if (!Grid::Reaches(s, phase.row, h) || !Grid::Reaches(s, phase.column, w)) continue;
      phase.taps.push_back(
          {tap, Grid::Distance(s, phase.row, h) * grid.pitch + Grid::Distance(s, phase.column, w)});
    }
    phases.push_back(std::move(phase));
  }
  return phases;
}

/// What one call works in.
struct GradInputWork {
  const BinaryConvShape& s;
  Grid grid{s};
  std::vector<Phase> phases = PhasesOf(s, grid);
  int64_t outputs = RoundUp(s.out, kPair);
  int64_t group;             ///< pictures at a time
  std::vector<float> scale;  ///< [outputs], 0 behind the last
  int64_t term;              ///< numbers of one term's rows
  Scratch<uint16_t> rows;    ///< [term][pixel of the grid][output], bf16
  Scratch<uint32_t> signs{s.taps() * outputs / kPair * 2 * kTileWords};
  Scratch<float> block{kPair * kPair};

  GradInputWork(const BinaryConvShape& shape, const BinaryWeights& weights, int terms)
      : s(shape),
        group(std::clamp<int64_t>(kGridBytes / (grid.picture * outputs * 2 * terms), 1, kLanes)),
        scale(outputs),
        term(grid.pixels(group) * outputs),
        rows(term * terms) {
    std::copy_n(weights.scale.begin(), s.out, scale.begin());
    std::fill_n(rows.get(), term * terms, uint16_t{});
  }
};

/// scale_o dL/dy of `pictures` into the grid. What lies between stays 0.
template <int kTerms>
BSNN_INLINE void FillGrid(GradInputWork& work, const float* grad_y, int64_t pictures) {
  typedef uint16_t Halves __attribute__((vector_size(32)));
  typedef uint16_t UnalignedHalves __attribute__((vector_size(32), aligned(2), may_alias));
  const BinaryConvShape& s = work.s;
  for (int64_t row = 0; row < pictures * s.out_height(); ++row) {
    const int64_t n = row / s.out_height(), h = row % s.out_height();
    uint16_t* to = work.rows.get() +
                   (work.grid.lead + n * work.grid.picture + h * work.grid.pitch) * work.outputs;
    for (int64_t w = 0; w < s.out_width(); ++w, to += work.outputs, grad_y += s.out) {
      for (int64_t o = 0; o < s.out; o += kLanes) {
        Lanes g = {};
        if (o + kLanes <= s.out) {
          g = *reinterpret_cast<const UnalignedLanes*>(grad_y + o);
        } else {
          std::memcpy(&g, grad_y + o, static_cast<size_t>(s.out - o) * sizeof(float));
        }
        if (s.bf16) RoundToBf16(&g, 1);
        LaneBits terms[kTerms];
        Split<kTerms>(g * *reinterpret_cast<const UnalignedLanes*>(work.scale.data() + o), terms);
        for (int term = 0; term < kTerms; ++term) {
          *reinterpret_cast<UnalignedHalves*>(to + term * work.term + o) =
              __builtin_convertvector(terms[term] >> 16, Halves);
        }
      }
    }
  }
}

/// The signs of 32 input channels as tiles of -1 and +1, [tap][outputs / 32][2]; what lies behind
/// the last channel may be either.
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

/// Tiles 0 to 3 = dL/dx of 32 of the phase's pixels from `pixel` on, and 32 channels.
template <class Tiles, int kTerms>
BSNN_INLINE void SumTaps(Tiles& tiles, const GradInputWork& work, const Phase& phase,
                         int64_t pixel) {
  const int64_t stride = work.outputs * 2, steps = work.outputs / kPair;
  tiles.template Clear<0>();
  tiles.template Clear<1>();
  tiles.template Clear<2>();
  tiles.template Clear<3>();
  for (const Tap& tap : phase.taps) {
    const uint16_t* rows = work.rows.get() + (work.grid.lead + pixel + tap.distance) * work.outputs;
    const uint32_t* signs = work.signs.get() + tap.index * steps * 2 * kTileWords;
    for (int64_t step = 0; step < steps; ++step, rows += kPair, signs += 2 * kTileWords) {
      tiles.template Load<6>(signs, kRowBytes);
      tiles.template Load<7>(signs + kTileWords, kRowBytes);
      for (int term = 0; term < kTerms; ++term) {
        tiles.template Load<4>(rows + term * work.term, stride);
        tiles.template Load<5>(rows + term * work.term + kTileRows * work.outputs, stride);
        MultiplyFour(tiles);
      }
    }
  }
}

/// Writes out those of a block's 32 pixels that lie inside a picture.
BSNN_INLINE void WriteBlock(const GradInputWork& work, const Phase& phase, int64_t pixel,
                            int64_t pictures, int64_t channel, float* grad_x) {
  const BinaryConvShape& s = work.s;
  const int64_t pitch = work.grid.pitch, count = std::min(kPair, s.in - channel);
  const int64_t last = std::min(pixel + kPair, pictures * work.grid.picture);
  int64_t n = pixel / work.grid.picture, a = pixel % work.grid.picture / pitch, b = pixel % pitch;
  const float* from = work.block.get();
  for (; pixel < last; ++pixel, from += kPair) {
    const int64_t h = a * s.stride + phase.row, w = b * s.stride + phase.column;
    if (h < s.height && w < s.width) {
      CopyFloats(from, count, grad_x + ((n * s.height + h) * s.width + w) * s.in + channel);
    }
    if (++b == pitch) b = 0, ++a;
    if (a * pitch == work.grid.picture) a = 0, ++n;
  }
}

template <class Tiles, int kTerms>
BSNN_INLINE void GradInput(GradInputWork& work, const BinaryWeights& weights, const float* grad_y,
                           float* grad_x, int64_t pictures) {
  Tiles tiles;
  FillGrid<kTerms>(work, grad_y, pictures);
  float* const block = work.block.get();
  for (int64_t channel = 0; channel < work.s.in; channel += kPair) {
    PackSigns(work.s, weights, channel, work.signs.get());
    for (const Phase& phase : work.phases) {
      for (int64_t pixel = 0; pixel < pictures * work.grid.picture; pixel += kPair) {
        SumTaps<Tiles, kTerms>(tiles, work, phase, pixel);
        tiles.template Store<0>(block, kPair * 4);
        tiles.template Store<1>(block + kTileRows, kPair * 4);
        tiles.template Store<2>(block + kTileRows * kPair, kPair * 4);
        tiles.template Store<3>(block + kTileRows * kPair + kTileRows, kPair * 4);
        WriteBlock(work, phase, pixel, pictures, channel, grad_x);
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
  const int64_t end = std::min(last * kLanes, s.pictures);
  for (int64_t n = first * kLanes; n < end; n += work.group) {
    GradInput<Tiles, kTerms>(work, weights, grad_y + n * s.out_pixels() * s.out,
                             grad_x + n * s.height * s.width * s.in, std::min(work.group, end - n));
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
