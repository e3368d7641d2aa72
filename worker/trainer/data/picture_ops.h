/// Operations on a picture of bytes as Pillow does them, to the byte: what published augmentations
/// and transforms are made of.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bsnn::trainer {

/// Planes of bytes, row-major [C, H, W].
struct PictureSize {
  int64_t channels = 1;
  int64_t height = 1;
  int64_t width = 1;

  int64_t plane() const { return height * width; }
  int64_t bytes() const { return channels * plane(); }
};

enum class PictureOp {
  kInvert,        ///< no value
  kAutocontrast,  ///< no value
  kEqualize,      ///< no value
  kPosterize,     ///< bits kept, 1 to 8
  kSolarize,      ///< first level that is inverted
  kColor,         ///< factor: 0 grey, 1 as it is
  kContrast,      ///< factor: 0 the mean grey
  kBrightness,    ///< factor: 0 black
  kSharpness,     ///< factor: 0 smoothed
  kShearY,        ///< rows down for each column to the right; bicubic
  kTranslateX,    ///< columns to the left
  kTranslateY,    ///< rows up
  kRotate         ///< degrees counter-clockwise about the middle
};

/// Changes `picture` of `size`, which has 3 planes (red, green, blue). What comes from outside is
/// grey of level 128. Source: Pillow's ImageOps, ImageEnhance, Image.transform and Image.rotate.
void Apply(PictureOp op, double value, const PictureSize& size, std::span<uint8_t> picture);

}  // namespace bsnn::trainer
