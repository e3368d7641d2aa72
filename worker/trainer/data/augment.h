/// Random changes to training pictures, drawn from (seed, epoch, picture) alone, so that a resumed
/// run and any number of threads take the same.
#pragma once

#include <cstdint>
#include <span>

#include "spec/job_spec.h"
#include "worker/trainer/data/picture_ops.h"

namespace bsnn::trainer {

struct Draw {
  int64_t seed = 0;
  int64_t epoch = 0;    ///< 0-based
  int64_t picture = 0;  ///< index in the training set
};

/// Whether Augment does anything at all.
bool ChangesPictures(const spec::AugmentationSpec& spec);

/// Writes the changed `in` to `out`; both hold size.bytes() and do not overlap. In this order, each
/// as `spec` asks: a crop from the picture padded with `crop_padding` zeros on each side, a mirror
/// image with probability 1/2, a shift in a circle by up to `roll` along each axis, AutoAugment's
/// CIFAR policy (auto_augment.h; three planes), a square of zeros of side `cutout` around a random
/// pixel, cut off at the borders. AutoAugment's numbers are drawn last. Every plane of the picture,
/// and so each frame of a recording, is changed alike. Source: DeVries and Taylor, 2017 (Cutout);
/// the order as in science.md §1.7.
void Augment(const spec::AugmentationSpec& spec, const PictureSize& size, const Draw& draw,
             std::span<const uint8_t> in, std::span<uint8_t> out);

}  // namespace bsnn::trainer
