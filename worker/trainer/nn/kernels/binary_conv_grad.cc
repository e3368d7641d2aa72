#include <algorithm>
#include <memory>

#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/kernels/bit_words.h"
#include "worker/trainer/nn/kernels/sum_tables.h"
#include "worker/trainer/nn/kernels/tile_products.h"

namespace bsnn::trainer::kernels {
namespace {

static_assert(kOutputBlock == kReals && kWordBits == kReals);

constexpr int64_t kRingBytes = 5 << 17;  // of sums of dL/dx under way: in the second cache

int64_t RingRows(const BinaryConvShape& s) { return std::max(s.kernel, s.stride); }
int64_t RingColumns(const BinaryConvShape& s) { return s.width + 2 * s.padding; }

/// Input channels worked on together: the more, the more sums a set of tables serves.
int64_t TileChannels(const BinaryConvShape& s) {
  if (s.unit != ProductUnit::kTables) return s.in;
  const int64_t fit = kRingBytes / (RingRows(s) * RingColumns(s) * int64_t{sizeof(Lanes)});
  return std::clamp(fit / kReals * kReals, kReals, int64_t{512});
}

int64_t ChannelTiles(const BinaryConvShape& s) { return DivideUp(s.in, TileChannels(s)); }

/// Rows of dL/dx under way, [row][column][channel] of 16 pictures, with the padding. A row has left
/// before the one that takes its place begins.
struct RowRing {
  int64_t rows;
  int64_t columns;
  int64_t channels;
  Lanes* data;

  Lanes* At(int64_t row, int64_t column) const {
    return data + (row % rows * columns + column) * channels;
  }
};

/// A thread's memory for a ring: all 0 between calls, as a row is cleared when it leaves.
Lanes* RingMemory(int64_t size) {
  struct Memory {
    explicit Memory(int64_t count) : lanes(count), size(count) {
      std::fill_n(lanes.get(), count, Lanes{});
    }
    Scratch<Lanes> lanes;
    int64_t size;
  };
  thread_local std::unique_ptr<Memory> memory;
  if (memory == nullptr || memory->size < size) memory = std::make_unique<Memory>(size);
  return memory->lanes.get();
}

/// One unit's part of dL/dx: `pictures` of 16 and ring.channels of the channels.
struct GradInputUnit {
  const float* grad_y;  ///< of the first picture
  float* grad_x;        ///< of the first picture and channel
  int64_t pictures;
  int64_t channel;
  RowRing ring;
};

/// Writes the sums of one pixel's channels out, to the same pixel of each picture.
BSNN_INLINE void WritePixel(const BinaryConvShape& s, const GradInputUnit& unit, const Lanes* pixel,
                            int64_t count, float* block, float* to) {
  const auto* const sums = reinterpret_cast<const float*>(pixel);
  for (int64_t c = 0; c < count; c += 4) {
    for (int64_t n = 0; n < kLanes; n += 4) {
      Transpose4(sums + c * kLanes + n, kLanes, Four{1, 1, 1, 1}, block + n * kReals + c, kReals);
    }
  }
  for (int64_t n = 0; n < unit.pictures; ++n) {
    CopyFloats(block + n * kReals, count, to + n * s.height * s.width * s.in);
  }
}

/// Writes a row out where it lies inside the picture, and clears it while it is in cache.
BSNN_INLINE void FlushRow(const BinaryConvShape& s, const GradInputUnit& unit, int64_t row,
                          float* block) {
  const RowRing& ring = unit.ring;
  const int64_t h = row - s.padding;
  for (int64_t column = 0; column < ring.columns; ++column) {
    Lanes* const pixel = ring.At(row, column);
    const int64_t w = column - s.padding;
    const bool inside = h >= 0 && h < s.height && w >= 0 && w < s.width;
    for (int64_t c = 0; c < ring.channels; c += kReals) {
      const int64_t count = std::min(kReals, ring.channels - c);
      if (inside) {
        WritePixel(s, unit, pixel + c, count, block, unit.grad_x + (h * s.width + w) * s.in + c);
      }
      std::fill_n(pixel + c, count, Lanes{});
    }
  }
}

constexpr int64_t kAhead = 6;  // pixels: 16 streams are more than processors follow by themselves

/// reals[o] = scale_o dL/dy of one pixel's outputs o < count, of 16 pictures; 0 up to `padded`.
BSNN_INLINE void GatherReals(const BinaryConvShape& s, const GradInputUnit& unit, int64_t at,
                             int64_t count, int64_t padded, const float* scale, float* block,
                             Lanes* reals) {
  const int64_t size = s.out_pixels() * s.out;
  // Whole lines first: pictures lie a power of two apart and would push each other out of cache.
  for (int64_t n = 0; n < unit.pictures; ++n) {
    const float* const from = unit.grad_y + n * size + at;
    for (int64_t o = 0; o < count; o += kLanes) __builtin_prefetch(from + kAhead * s.out + o);
    CopyFloats(from, count, block + n * kReals);
  }
  if (s.bf16) RoundToBf16(reinterpret_cast<Lanes*>(block), kLanes * kReals / kLanes);
  float* const to = reinterpret_cast<float*>(reals);
  for (int64_t o = 0; o < count; o += 4) {
    const Four factor = LoadFour(scale + o);
    for (int64_t n = 0; n < kLanes; n += 4) {
      Transpose4(block + n * kReals + o, kReals, factor, to + o * kLanes + n, kLanes);
    }
  }
  std::fill(reals + count, reals + padded, Lanes{});
}

struct GradInputScratch {
  Scratch<Lanes> tables{kMostLanes};
  Scratch<Lanes> reals{kReals};
  Scratch<float> block{kLanes * kReals};
};

/// Of one pixel's `count` outputs from o on, which `t` has tables for.
template <class Tables>
BSNN_INLINE void AddPixel(Tables t, const BinaryConvShape& s, const BinaryWeights& weights,
                          const GradInputUnit& unit, int64_t h, int64_t w, int64_t o, int64_t count,
                          GradInputScratch& scratch) {
  const RowRing& ring = unit.ring;
  Lanes* const tables = scratch.tables.get();
  GatherReals(s, unit, (h * s.out_width() + w) * s.out + o, count, t.Numbers(t.kCount),
              weights.scale.data() + o, scratch.block.get(), scratch.reals.get());
  Build<true>(t, scratch.reals.get(), tables);
  const uint64_t* const words = weights.back.data() + o * s.words() + unit.channel;
  for (int64_t tap = 0; tap < s.taps(); ++tap) {
    AddSums(t, tables, words + tap * s.in, ring.channels,
            ring.At(h * s.stride + tap / s.kernel, w * s.stride + tap % s.kernel));
  }
}

BSNN_INLINE void GradInput(const BinaryConvShape& s, const BinaryWeights& weights,
                           const GradInputUnit& unit, GradInputScratch& scratch) {
  int64_t flushed = 0;
  for (int64_t h = 0; h < s.out_height(); ++h) {
    for (; flushed < h * s.stride; ++flushed) FlushRow(s, unit, flushed, scratch.block.get());
    for (int64_t w = 0; w < s.out_width(); ++w) {
      for (int64_t o = 0; o < s.out; o += kReals) {
        const int64_t count = std::min(kReals, s.out - o);
        const auto add = [&](auto tables) __attribute__((always_inline)) {
          AddPixel(tables, s, weights, unit, h, w, o, count, scratch);
        };
        if (count <= kReals / 4) {
          add(QuarterTables{});
        } else if (count <= kReals / 2) {
          add(HalfTables{});
        } else {
          add(WholeTables{});
        }
      }
    }
  }
  for (; flushed < s.height + 2 * s.padding; ++flushed) {
    FlushRow(s, unit, flushed, scratch.block.get());
  }
}

}  // namespace

int64_t GradInputUnits(const BinaryConvShape& s) {
  return DivideUp(s.pictures, kLanes) * ChannelTiles(s);
}

BSNN_CLONES void RunBinaryConvGradInput(const BinaryConvShape& s, const BinaryWeights& weights,
                                        const float* grad_y, float* grad_x, int64_t first,
                                        int64_t last) {
  if (s.unit != ProductUnit::kTables) {
    return GradInputByTiles(s, weights, grad_y, grad_x, first, last);
  }
  const int64_t rows = RingRows(s), columns = RingColumns(s), tile = TileChannels(s);
  const int64_t ring_size = rows * columns * std::min(s.in, tile);
  Lanes* const ring = RingMemory(ring_size);
  GradInputScratch scratch;
  std::fill_n(scratch.block.get(), kLanes * kReals, 0.0f);
  for (int64_t i = first; i < last; ++i) {
    const int64_t n = i / ChannelTiles(s) * kLanes, c = i % ChannelTiles(s) * tile;
    const GradInputUnit unit{grad_y + n * s.out_pixels() * s.out,
                             grad_x + n * s.height * s.width * s.in + c,
                             std::min(kLanes, s.pictures - n),
                             c,
                             {rows, columns, std::min(tile, s.in - c), ring}};
    GradInput(s, weights, unit, scratch);
  }
}

namespace {

constexpr int64_t kShareFloats = 1 << 18;  // sums up to this size are kept per share
constexpr int64_t kTileWords = 36;         // of a window, at most, whose sums stay in cache

int64_t OutputGroups(const BinaryConvShape& s) { return DivideUp(s.out, kLanes); }
/// What dL/dweight is shared out in: 64 pixels, or 16 pictures for tiles.
int64_t Pieces(const BinaryConvShape& s) {
  if (s.unit != ProductUnit::kTables) return DivideUp(s.pictures, kLanes);
  return DivideUp(s.pictures * s.out_pixels(), kReals);
}

/// columns[k * 64 + i], a word of 64 output pixels: bit i of word k of their windows.
BSNN_INLINE void TransposeWindows(const BinaryConvShape& s, const uint8_t* bits, int64_t begin,
                                  uint64_t* columns) {
  const int64_t pixels = s.out_pixels(), last = s.pictures * pixels - 1;
  int64_t n = begin / pixels, h = begin % pixels / s.out_width(), w = begin % s.out_width();
  for (int64_t j = 0; j < kWordBits; ++j) {
    GatherWindow(s, bits + n * s.bit_picture(), h, w, kWordBits, columns + j);
    if (begin + j >= last) continue;  // beyond the end, where no gradient is: any window will do
    if (++w == s.out_width()) w = 0, ++h;
    if (h == s.out_height()) h = 0, ++n;
  }
  for (int64_t k = 0; k < s.words(); ++k) TransposeBits(columns + k * kWordBits);
}

/// reals[j] = dL/dy of 16 outputs at 64 pixels; 0 where there is no pixel or output.
BSNN_INLINE void LoadReals(const BinaryConvShape& s, const float* grad_y, int64_t begin,
                           int64_t output, Lanes* reals) {
  const int64_t have = std::min(kReals, s.pictures * s.out_pixels() - begin);
  const float* const from = grad_y + begin * s.out + output;
  for (int64_t j = 0; j < have; ++j) {
    __builtin_prefetch(from + (j + kReals) * s.out, 0, 2);  // the next block's
    LoadLanes(from + j * s.out, s.out - output, reals + j);
  }
  std::fill(reals + have, reals + kReals, Lanes{});
}

/// Blocks of 64 pixels whose columns are there at a time.
int64_t ChunkBlocks(const BinaryConvShape& s) {
  constexpr int64_t kColumnBytes = 1 << 18;  // they stay in cache
  return std::clamp<int64_t>(kColumnBytes / (s.words() * kWordBits * 8), 1, 16);
}

struct GradWeightScratch {
  explicit GradWeightScratch(const BinaryConvShape& s)
      : columns(s.unit == ProductUnit::kTables ? ChunkBlocks(s) * s.words() * kWordBits : 0) {}
  Scratch<uint64_t> columns;
  Scratch<Lanes> tables{kMostLanes};
  Scratch<Lanes> reals{kReals};
};

/// Adds `count` blocks of 64 pixels, whose columns are there, to the sums of the outputs' groups.
BSNN_INLINE void AddColumns(const BinaryConvShape& s, const float* grad_y, int64_t block,
                            int64_t count, Range groups, Lanes* sums, GradWeightScratch& scratch) {
  constexpr WholeTables tables;
  const int64_t words = s.words(), group_size = words * kWordBits;
  const int64_t tile = DivideUp(words, DivideUp(words, kTileWords));
  for (int64_t group = groups.first; group < groups.last; ++group) {
    for (int64_t k = 0; k < words; k += tile) {
      const int64_t span = std::min(tile * kWordBits, s.taps() * s.in - k * kWordBits);
      for (int64_t b = 0; b < count; ++b) {
        LoadReals(s, grad_y, (block + b) * kReals, group * kLanes, scratch.reals.get());
        if (s.bf16) RoundToBf16(scratch.reals.get(), kReals);
        Build<false>(tables, scratch.reals.get(), scratch.tables.get());
        AddSums(tables, scratch.tables.get(), scratch.columns.get() + (b * words + k) * kWordBits,
                span, sums + group * group_size + k * kWordBits);
      }
    }
  }
}

BSNN_INLINE void AddPieces(const BinaryConvShape& s, const uint8_t* bits, const float* grad_y,
                           Range pieces, Range groups, Lanes* sums, GradWeightScratch& scratch) {
  if (s.unit != ProductUnit::kTables) {
    return AddGradWeightByTiles(s, bits, grad_y, pieces, groups, sums);
  }
  const int64_t chunk = ChunkBlocks(s), column_size = s.words() * kWordBits;
  for (int64_t block = pieces.first; block < pieces.last; block += chunk) {
    const int64_t count = std::min(chunk, pieces.last - block);
    for (int64_t b = 0; b < count; ++b) {
      TransposeWindows(s, bits, (block + b) * kReals, scratch.columns.get() + b * column_size);
    }
    AddColumns(s, grad_y, block, count, groups, sums, scratch);
  }
}

}  // namespace

GradWeightPlan PlanGradWeight(const BinaryConvShape& s, int64_t parts) {
  const int64_t size = OutputGroups(s) * s.words() * kWordBits * kLanes;
  if (size <= kShareFloats) return {std::min(kGradWeightParts, parts), 1, size};
  return {1, std::min(kGradWeightParts, OutputGroups(s)), size};
}

BSNN_CLONES void RunBinaryConvGradWeight(const BinaryConvShape& s, const uint8_t* bits,
                                         const float* grad_y, float* sums, int64_t first,
                                         int64_t last) {
  const GradWeightPlan plan = PlanGradWeight(s);
  const int64_t group_size = s.words() * kWordBits;
  GradWeightScratch scratch(s);
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t share = unit / plan.splits, split = unit % plan.splits;
    const Range groups{OutputGroups(s) * split / plan.splits,
                       OutputGroups(s) * (split + 1) / plan.splits};
    const Range pieces{Pieces(s) * share / plan.shares, Pieces(s) * (share + 1) / plan.shares};
    auto* const out = reinterpret_cast<Lanes*>(sums + share * plan.share_size);
    std::fill(out + groups.first * group_size, out + groups.last * group_size, Lanes{});
    AddPieces(s, bits, grad_y, pieces, groups, out, scratch);
  }
}

BSNN_CLONES void AddBinaryConvGradWeight(const BinaryConvShape& s, const uint8_t* bits,
                                         const float* grad_y, float* sums) {
  GradWeightScratch scratch(s);
  AddPieces(s, bits, grad_y, {0, Pieces(s)}, {0, OutputGroups(s)}, reinterpret_cast<Lanes*>(sums),
            scratch);
}

BSNN_CLONES void FoldGradWeight(const BinaryConvShape& s, const GradWeightPlan& plan,
                                const float* sums, float* grad_weight, int64_t first,
                                int64_t last) {
  const int64_t taps = s.taps(), fan_in = taps * s.in, group_size = s.words() * kWordBits;
  for (int64_t group = first; group < last; ++group) {
    const auto* const from = reinterpret_cast<const Lanes*>(sums) + group * group_size;
    const int64_t lanes = std::min(kLanes, s.out - group * kLanes);
    float* const to = grad_weight + group * kLanes * fan_in;
    for (int64_t c = 0; c < s.in; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        Lanes sum = from[tap * s.in + c];
        for (int64_t share = 1; share < plan.shares; ++share) {
          sum += from[share * plan.share_size / kLanes + tap * s.in + c];
        }
        for (int64_t i = 0; i < lanes; ++i) to[i * fan_in + c * taps + tap] = sum[i];
      }
    }
  }
}

}  // namespace bsnn::trainer::kernels
