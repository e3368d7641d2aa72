/// The backward products of a binary convolution on a matrix unit's tiles (matrix_tiles.h), in
/// place of tables of sums: what binary_conv.h calls where BinaryConvShape::unit says so. Private
/// to nn/kernels.
///
/// One operand is exact in bf16: a sign, or a spike. The other, a gradient g, enters as the sum of
/// two bf16 numbers, g rounded and the rest rounded (off by less than 2^-16 of |g|; what is left
/// below 2^-126 is lost), or as the one that it is with `bf16`. Sums are of float32; their order
/// follows from the shape alone. Where a sum has an infinite or undefined gradient among its
/// terms, also one whose spike is 0, it comes out as not a number. Source: ours.
#pragma once

#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/kernels/grad_windows.h"

namespace bsnn::trainer::kernels {

/// RunBinaryConvGradInput, for units of 16 pictures.
void GradInputByTiles(const BinaryConvShape& s, const BinaryWeights& weights, const float* grad_y,
                      float* grad_x, int64_t first, int64_t last);

/// Words of 32 bits that AddColumnsByTiles works in.
int64_t ColumnTileWords(const BinaryConvShape& s);
/// Adds `count` blocks of 64 pixels from `block` on, up to ChunkBlocks, whose transposed windows
/// are in `columns`, to the sums of dL/dweight of the outputs' groups. `scratch` is aligned to 64
/// bytes.
void AddColumnsByTiles(const BinaryConvShape& s, const uint64_t* columns, const float* grad_y,
                       int64_t block, int64_t count, Range groups, Lanes* sums, uint32_t* scratch);

}  // namespace bsnn::trainer::kernels
