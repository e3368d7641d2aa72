/// Convolution of spikes with binary weights, forward and backward, by bits and tables of sums.
/// Torch-free: plain memory, any processor.
///
/// Spikes are 0 or 1 and weights -scale_o or +scale_o, so that one operand of each product is
/// exact:
///  - forward: with s a window's spikes as bits and w a channel's signs as bits (1 is +),
///    y = scale_o count, count = 2 popcount(s & w) - popcount(s), a whole number of 16 bits;
///  - backward: sums of real gradients, each with a sign (dL/dx) or picked by a bit (dL/dweight).
///    The sums of each few (5 or 6) of 64 gradients are tabulated for all patterns, for 16 lanes at
///    once; a sum of 64 is then 13 or 11 look-ups and additions in place of 64 products, float32
///    throughout.
/// On a matrix unit the backward sums are products of tiles (tile_products.h), near the tables'.
/// Results do not depend on the processor otherwise, nor on the shares that threads take. Source:
/// ours, after Arlazarov et al. 1970 (the "four Russians" product); forward as XNOR-Net, ECCV 2016,
/// §3.2.
#pragma once

#include <cstdint>
#include <vector>

namespace bsnn::trainer::kernels {

/// What takes the backward sums: kAmx where AmxWorks() (amx.h); kPlainTiles is the same in plain
/// loops, for tests on any processor.
enum class ProductUnit : uint8_t { kTables, kAmx, kPlainTiles };

/// x [N, H, W, I], y [N, H', W', O], weight [O, I, k, k], k k I up to kMostFanIn; zero padding on
/// all sides.
struct BinaryConvShape {
  int64_t pictures = 1;  ///< N
  int64_t height = 1;    ///< H
  int64_t width = 1;     ///< W
  int64_t in = 8;        ///< I, a multiple of 8
  int64_t out = 1;       ///< O
  int64_t kernel = 3;    ///< k
  int64_t stride = 1;
  int64_t padding = 1;
  bool bf16 = false;  ///< dL/dy is rounded to bf16 where it enters a product
  ProductUnit unit = ProductUnit::kTables;

  int64_t out_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  int64_t out_width() const { return (width + 2 * padding - kernel) / stride + 1; }
  int64_t out_pixels() const { return out_height() * out_width(); }
  int64_t taps() const { return kernel * kernel; }
  /// Words of a window (row, column, channel); the last is filled up with zeros.
  int64_t words() const { return (taps() * in + 63) / 64; }
  /// Bytes of one row, and of one picture, of spikes as bits, with the padding around them.
  int64_t bit_row() const { return (width + 2 * padding) * in / 8; }
  int64_t bit_picture() const { return (height + 2 * padding) * bit_row(); }
  /// Bytes of all spikes as bits; the last 8 are never looked at, only read.
  int64_t bit_bytes() const { return pictures * bit_picture() + 8; }
};

inline constexpr int64_t kMostFanIn = 32767;  // what a count can reach

/// The signs of a layer's effective weights, in the orders that the passes want.
struct BinaryWeights {
  std::vector<float> scale;       ///< [O rounded up to 8]
  std::vector<uint64_t> forward;  ///< [words, O rounded up to 8]: a word of (tap, channel)
  std::vector<uint64_t> back;     ///< [ceil(O / 64), words * 64]: a word of outputs

  explicit BinaryWeights(const BinaryConvShape& shape);
};
/// weight [O, I, k, k], exactly -scale_o or +scale_o. Blocks [first, last) of 64 outputs.
inline constexpr int64_t kOutputBlock = 64;
void PackBinaryWeights(const BinaryConvShape& shape, const float* weight, BinaryWeights& out,
                       int64_t first, int64_t last);

/// Spikes [N, H, W, I] float32, 0 or 1, as bits [N, bit_picture()]. Pictures [first, last).
void PackSpikes(const BinaryConvShape& shape, const float* spikes, uint8_t* bits, int64_t first,
                int64_t last);

/// counts [N, H', W', O]: y in units of the scale. Pictures [first, last).
void RunBinaryConv(const BinaryConvShape& shape, const BinaryWeights& weights, const uint8_t* bits,
                   int16_t* counts, int64_t first, int64_t last);
/// y [P, O] from the counts of P pixels.
void ScaleCounts(const BinaryConvShape& shape, const BinaryWeights& weights, const int16_t* counts,
                 int64_t pixels, float* y);

/// dL/dx [N, H, W, I] from dL/dy [N, H', W', O]. Units [first, last) of GradInputUnits().
int64_t GradInputUnits(const BinaryConvShape& shape);
void RunBinaryConvGradInput(const BinaryConvShape& shape, const BinaryWeights& weights,
                            const float* grad_y, float* grad_x, int64_t first, int64_t last);

/// How dL/dweight is cut up: `shares` of the output pixels, whose sums are added up in order at
/// last, and `splits` of the output channels. It follows from the shape alone.
struct GradWeightPlan {
  int64_t shares = 1;
  int64_t splits = 1;
  int64_t share_size = 0;  ///< floats of one share's sums
  int64_t units() const { return shares * splits; }
};
/// At most `parts` shares.
inline constexpr int64_t kGradWeightParts = 8;
GradWeightPlan PlanGradWeight(const BinaryConvShape& shape, int64_t parts = kGradWeightParts);
/// Writes the sums of units [first, last) to `sums` [shares, share_size], aligned to 64 bytes.
void RunBinaryConvGradWeight(const BinaryConvShape& shape, const uint8_t* bits, const float* grad_y,
                             float* sums, int64_t first, int64_t last);
/// Adds what all the pictures give to one share's sums.
void AddBinaryConvGradWeight(const BinaryConvShape& shape, const uint8_t* bits, const float* grad_y,
                             float* sums);
/// dL/dweight [O, I, k, k] from the sums of all shares. Groups [first, last) of 16 outputs.
inline constexpr int64_t kLanes = 16;
void FoldGradWeight(const BinaryConvShape& shape, const GradWeightPlan& plan, const float* sums,
                    float* grad_weight, int64_t first, int64_t last);

}  // namespace bsnn::trainer::kernels
