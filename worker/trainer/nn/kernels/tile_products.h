/// The backward products of a binary convolution on a matrix unit's tiles (matrix_tiles.h), in
/// place of tables of sums: what binary_conv.h calls where BinaryConvShape::unit says so. Private
/// to nn/kernels.
///
/// One operand is exact in bf16: a sign, or a spike. The other, a gradient g, enters as the sum of
/// two bf16 numbers, g cut off and the rest rounded (off by up to 2^-16 of |g|; what is left
/// below 2^-126 is lost), or as the one that it is with `bf16`. Sums are of float32; their order
/// follows from the shape alone. Where a sum has an infinite or undefined gradient among its
/// terms, also one whose spike is 0, it comes out as not a number. Source: ours.
#pragma once

#include "worker/trainer/nn/kernels/binary_conv.h"
#include "worker/trainer/nn/kernels/lanes.h"

namespace bsnn::trainer::kernels {

struct Range {
  int64_t first, last;
};

/// RunBinaryConvGradInput, for units of 16 pictures.
void GradInputByTiles(const BinaryConvShape& s, const BinaryWeights& weights, const float* grad_y,
                      float* grad_x, int64_t first, int64_t last);

/// Adds what pictures [16 units.first, 16 units.last) give to the sums of dL/dweight of the
/// outputs' groups [groups.first, groups.last) of 16.
void AddGradWeightByTiles(const BinaryConvShape& s, const uint8_t* bits, const float* grad_y,
                          Range units, Range groups, Lanes* sums);

}  // namespace bsnn::trainer::kernels
