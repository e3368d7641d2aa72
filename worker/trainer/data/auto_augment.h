/// AutoAugment's policy for CIFAR-10: one of 25 pairs of operations, drawn for each picture.
#pragma once

#include "worker/trainer/data/picture_ops.h"
#include "worker/trainer/data/random_stream.h"

namespace bsnn::trainer {

/// Changes `picture`, three planes of `size`. Draws five numbers, whatever they decide: the pair
/// of 25; then for each operation of the pair whether it is done, and its sign. Values are those of
/// the level i of 9: shear 0.3 i/9, translation 150/331 i/9 of the side, rotation 30 i/9 degrees,
/// factors 1 +- 0.9 i/9, bits 8 - 4 i/9 (rounded), threshold 256 - 256 i/9; rotation has no sign.
/// Source: Cubuk et al., "AutoAugment", CVPR 2019, table 7; ranges, grey borders and rotation in
/// one direction as in the PyTorch form that BSNN code uses (science.md §1.7).
void AutoAugment(const PictureSize& size, RandomStream& random, std::span<uint8_t> picture);

}  // namespace bsnn::trainer
