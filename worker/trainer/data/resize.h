/// Cutting and resizing decoded pictures, as torchvision's transforms do over Pillow.
#pragma once

#include <span>

#include "worker/trainer/data/picture_file.h"
#include "worker/trainer/data/random_stream.h"

namespace bsnn::trainer {

struct Box {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;

  bool operator==(const Box&) const = default;
};

/// RandomResizedCrop's box in a picture of `height` x `width`: an area of 8 to 100 % of it, an
/// aspect ratio of 3/4 to 4/3, log-uniform; where ten draws do not fit, the middle.
Box RandomBox(int64_t height, int64_t width, RandomStream& random);

/// Cuts `box` out of `picture`, resizes it to `side` x `side` (bilinear over all pixels that an
/// output pixel covers: Pillow 12's BILINEAR, to the byte; from
/// release 13 on it sometimes resizes columns first, which rounds otherwise), and writes planes [3,
/// side, side].
void CutAndResize(const RgbPicture& picture, const Box& box, int64_t side, std::span<uint8_t> out);

/// The test view: resizes the shorter side to 256/224 of `side`, takes the middle `side` x `side`.
void ResizeAndCutMiddle(const RgbPicture& picture, int64_t side, std::span<uint8_t> out);

}  // namespace bsnn::trainer
