/// Tiles of a matrix unit: 16 rows of 64 bytes, 16 floats or 32 bf16 numbers each. Two classes of
/// the same shape, for templates: AMX's tiles, and plain ones for tests on any processor. Private
/// to nn/kernels.
///
/// Multiply<c, a, b>: tile c += a b, where a holds [row][k], k < 32, and b [k / 2][column][k % 2],
/// in bf16, and c [row][column] in float32. Products are exact; what is too small for a normal
/// float counts as 0. Source: Intel's instruction set reference, TDPBF16PS.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "worker/trainer/nn/kernels/clones.h"
#include "worker/trainer/nn/kernels/lanes.h"

// What AmxWorks() asks for besides tiles.
#if defined(__x86_64__)
#define BSNN_WITH_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#endif

namespace bsnn::trainer::kernels {

inline constexpr int64_t kTileRows = 16;
inline constexpr int64_t kTileWords = 256;  ///< of 32 bits: a row is 16
/// Rows, columns or numbers of a sum that go together: two tiles' rows, or one's numbers.
inline constexpr int64_t kPair = 2 * kTileRows;
inline constexpr int64_t kRowBytes = 64;        ///< of a tile that lies in one piece
inline constexpr uint32_t kHigh = 0xFFFF0000u;  ///< the bf16 number in a float's bits

class PlainTiles {
 public:
  template <int kTile>
  void Clear() {
    std::memset(tiles_[kTile], 0, sizeof(tiles_[kTile]));
  }
  /// Rows lie `stride` bytes apart.
  template <int kTile>
  void Load(const void* from, int64_t stride) {
    for (int64_t row = 0; row < kTileRows; ++row) {
      std::memcpy(tiles_[kTile][row], static_cast<const char*>(from) + row * stride, kRowBytes);
    }
  }
  template <int kTile>
  void Store(void* to, int64_t stride) const {
    for (int64_t row = 0; row < kTileRows; ++row) {
      std::memcpy(static_cast<char*>(to) + row * stride, tiles_[kTile][row], kRowBytes);
    }
  }
  template <int kC, int kA, int kB>
  void Multiply() {
    for (int64_t row = 0; row < kTileRows; ++row) {
      float sums[16];
      std::memcpy(sums, tiles_[kC][row], sizeof(sums));
      for (int64_t k = 0; k < 16; ++k) {
        const uint32_t a = tiles_[kA][row][k];
        for (int64_t column = 0; column < 16; ++column) {
          const uint32_t b = tiles_[kB][k][column];
          sums[column] += First(a) * First(b) + Second(a) * Second(b);
        }
      }
      std::memcpy(tiles_[kC][row], sums, sizeof(sums));
    }
  }

 private:
  static float First(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
  static float Second(uint32_t pair) { return std::bit_cast<float>(pair & kHigh); }

  uint32_t tiles_[8][kTileRows][16] = {};
};

#if defined(__x86_64__)
/// The thread's tile registers, set up for as long as this lives: one at a time, and nothing else
/// of the thread may use them meanwhile. Where AmxWorks() (amx.h). In assembler: an intrinsic could
/// not be inlined into a template that is also used without AMX.
class AmxTiles {
 public:
  BSNN_INLINE AmxTiles() {
    Configuration eight;
    for (int i = 0; i < 8; ++i) eight.row_bytes[i] = kRowBytes, eight.rows[i] = kTileRows;
    asm volatile("ldtilecfg %0" ::"m"(eight));
  }
  BSNN_INLINE ~AmxTiles() { asm volatile("tilerelease"); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  template <int kTile>
  BSNN_INLINE void Clear() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  BSNN_INLINE void Load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  BSNN_INLINE void Store(void* to, int64_t stride) const {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kC, int kA, int kB>
  BSNN_INLINE void Multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }

 private:
  struct alignas(64) Configuration {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };
  static_assert(sizeof(Configuration) == 64);
};
#endif

/// g as bf16 numbers, each in the high half of its lane: g rounded, or g cut off and the rest
/// rounded, which sum up to g but for 2^-16 of it.
template <int kTerms>
BSNN_INLINE void Split(Lanes g, LaneBits* terms) {
  static_assert(kTerms == 1 || kTerms == 2);
  if constexpr (kTerms == 1) {
    RoundToBf16(&g, 1);
    terms[0] = reinterpret_cast<LaneBits>(g);
  } else {
    terms[0] = reinterpret_cast<LaneBits>(g) & kHigh;
    terms[1] = reinterpret_cast<LaneBits>(g - reinterpret_cast<Lanes>(terms[0])) + 0x8000u;
  }
}

/// Tiles 0 to 3, two rows of two, += tiles 4 and 5 (rows) times tiles 6 and 7 (columns).
template <class Tiles>
BSNN_INLINE void MultiplyFour(Tiles& tiles) {
  tiles.template Multiply<0, 4, 6>();
  tiles.template Multiply<1, 4, 7>();
  tiles.template Multiply<2, 5, 6>();
  tiles.template Multiply<3, 5, 7>();
}

}  // namespace bsnn::trainer::kernels
