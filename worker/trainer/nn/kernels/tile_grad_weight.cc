// dL/dweight by tiles.
#include "worker/trainer/nn/kernels/matrix_tiles.h"
#include "worker/trainer/nn/kernels/tile_products.h"

namespace bsnn::trainer::kernels {
namespace {

int64_t Pairs(Range groups) { return DivideUp(groups.last - groups.first, 2); }

/// Spikes and gradients of a chunk as tiles. A step is of 32 pixels, in pairs (j, j + 16): the
/// order in which a word's bits spread most easily.
struct ColumnTiles {
  int64_t steps;
  uint32_t* spikes;  ///< [step][2]: 32 numbers of a window, of 32 pixels, 0 or 1 in bf16
  uint32_t* reals;   ///< [pair of groups][step][term][2]: pixels in pairs, of 16 outputs
};

/// dL/dy of all groups as tiles; 0 where the last pair has no second group.
template <int kTerms>
BSNN_INLINE void FillReals(const BinaryConvShape& s, const float* grad_y, int64_t block,
                           int64_t count, Range groups, const ColumnTiles& chunk) {
  Lanes reals[kPaddedReals];
  const int64_t last = groups.first + 2 * Pairs(groups);
  for (int64_t group = groups.first; group < last; ++group) {
    const int64_t at = group - groups.first;
    for (int64_t b = 0; b < count; ++b) {
      if (group < groups.last) {
        LoadReals(s, grad_y, (block + b) * kReals, group * kLanes, reals);
      } else {
        std::fill(reals, reals + kReals, Lanes{});
      }
      for (int64_t half = 0; half < 2; ++half) {
        uint32_t* const to =
            chunk.reals +
            ((at / 2 * chunk.steps + 2 * b + half) * kTerms * 2 + at % 2) * kTileWords;
        for (int64_t j = 0; j < kTileRows; ++j) {
          LaneBits low[kTerms], high[kTerms];
          Split<kTerms>(reals[half * kPair + j], low);
          Split<kTerms>(reals[half * kPair + kTileRows + j], high);
          for (int term = 0; term < kTerms; ++term) {
            *reinterpret_cast<LaneBits*>(to + term * 2 * kTileWords + j * kLanes) =
                low[term] >> 16 | (high[term] & kHigh);
          }
        }
      }
    }
  }
}

/// The spikes at 32 numbers of all windows, from number k on: bits spread to bf16.
BSNN_INLINE void FillSpikes(const BinaryConvShape& s, const uint64_t* columns, int64_t k,
                            const ColumnTiles& chunk) {
  typedef uint16_t Spread __attribute__((vector_size(64)));
  typedef uint32_t Half __attribute__((may_alias));
  Spread bit;
  for (int i = 0; i < 32; ++i) bit[i] = static_cast<uint16_t>(1 << i / 2);
  for (int64_t step = 0; step < chunk.steps; ++step) {
    // A step's 32 pixels are half of each word, the lower half first.
    const auto* const halves =
        reinterpret_cast<const Half*>(columns + step / 2 * s.words() * kWordBits + k) + step % 2;
    uint32_t* const to = chunk.spikes + step * 2 * kTileWords;
    for (int64_t i = 0; i < kPair; ++i) {
      const auto pixels = reinterpret_cast<Spread>(LaneBits{} + halves[2 * i]);
      const auto on = reinterpret_cast<Spread>((pixels & bit) != 0);
      *reinterpret_cast<Spread*>(to + i * kLanes) = on & 0x3F80;
    }
  }
}

/// Sums of 32 numbers of the window and two groups of outputs += the chunk's.
template <class Tiles, int kTerms>
BSNN_INLINE void SumPixels(Tiles& tiles, const ColumnTiles& chunk, const uint32_t* reals,
                           Lanes* sums, Lanes* second) {
  tiles.template Load<0>(sums, kRowBytes);
  tiles.template Load<1>(second, kRowBytes);
  tiles.template Load<2>(sums + kTileRows, kRowBytes);
  tiles.template Load<3>(second + kTileRows, kRowBytes);
  const uint32_t* spikes = chunk.spikes;
  for (int64_t step = 0; step < chunk.steps; ++step, spikes += 2 * kTileWords) {
    tiles.template Load<4>(spikes, kRowBytes);
    tiles.template Load<5>(spikes + kTileWords, kRowBytes);
    for (int term = 0; term < kTerms; ++term, reals += 2 * kTileWords) {
      tiles.template Load<6>(reals, kRowBytes);
      tiles.template Load<7>(reals + kTileWords, kRowBytes);
      MultiplyFour(tiles);
    }
  }
  tiles.template Store<0>(sums, kRowBytes);
  tiles.template Store<1>(second, kRowBytes);
  tiles.template Store<2>(sums + kTileRows, kRowBytes);
  tiles.template Store<3>(second + kTileRows, kRowBytes);
}

template <class Tiles, int kTerms>
BSNN_INLINE void AddColumns(const BinaryConvShape& s, const uint64_t* columns, const float* grad_y,
                            int64_t block, int64_t count, Range groups, Lanes* sums,
                            uint32_t* scratch) {
  const ColumnTiles chunk{2 * count, scratch, scratch + 2 * count * 2 * kTileWords};
  FillReals<kTerms>(s, grad_y, block, count, groups, chunk);
  const int64_t group_size = s.words() * kWordBits;
  Lanes none[kPair] = {};  // for the group that the last pair lacks
  Tiles tiles;
  for (int64_t k = 0; k < group_size; k += kPair) {
    FillSpikes(s, columns, k, chunk);
    for (int64_t pair = 0; pair < Pairs(groups); ++pair) {
      const int64_t group = groups.first + 2 * pair;
      Lanes* const first = sums + group * group_size + k;
      SumPixels<Tiles, kTerms>(tiles, chunk,
                               chunk.reals + pair * chunk.steps * kTerms * 2 * kTileWords, first,
                               group + 1 < groups.last ? first + group_size : none);
    }
  }
}

template <class Tiles>
BSNN_INLINE void AddColumnsOn(const BinaryConvShape& s, const uint64_t* columns,
                              const float* grad_y, int64_t block, int64_t count, Range groups,
                              Lanes* sums, uint32_t* scratch) {
  if (s.bf16) {
    AddColumns<Tiles, 1>(s, columns, grad_y, block, count, groups, sums, scratch);
  } else {
    AddColumns<Tiles, 2>(s, columns, grad_y, block, count, groups, sums, scratch);
  }
}

#if defined(BSNN_WITH_AMX)
BSNN_WITH_AMX void AddColumnsByAmx(const BinaryConvShape& s, const uint64_t* columns,
                                   const float* grad_y, int64_t block, int64_t count, Range groups,
                                   Lanes* sums, uint32_t* scratch) {
  AddColumnsOn<AmxTiles>(s, columns, grad_y, block, count, groups, sums, scratch);
}
#endif

}  // namespace

int64_t ColumnTileWords(const BinaryConvShape& s) {
  const int64_t steps = 2 * ChunkBlocks(s), pairs = DivideUp(s.out, kPair);
  return (1 + pairs * (s.bf16 ? 1 : 2)) * steps * 2 * kTileWords;
}

void AddColumnsByTiles(const BinaryConvShape& s, const uint64_t* columns, const float* grad_y,
                       int64_t block, int64_t count, Range groups, Lanes* sums, uint32_t* scratch) {
#if defined(BSNN_WITH_AMX)
  if (s.unit == ProductUnit::kAmx) {
    return AddColumnsByAmx(s, columns, grad_y, block, count, groups, sums, scratch);
  }
#endif
  AddColumnsOn<PlainTiles>(s, columns, grad_y, block, count, groups, sums, scratch);
}

}  // namespace bsnn::trainer::kernels
