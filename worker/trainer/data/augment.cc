#include "worker/trainer/data/augment.h"

#include <algorithm>

#include "worker/trainer/data/auto_augment.h"
#include "worker/trainer/data/random_stream.h"

namespace bsnn::trainer {
namespace {

constexpr uint64_t kStreamOfAugmentation = 0x6175676D656E74;  // "augment"

/// A shift by -reach to reach along an axis of `extent` pixels, as one from 0 to extent - 1.
int64_t Roll(RandomStream& random, int64_t reach, int64_t extent) {
  const auto shift =
      static_cast<int64_t>(random.Below(static_cast<uint64_t>(2 * reach + 1))) - reach;
  return (shift % extent + extent) % extent;
}

}  // namespace

bool ChangesPictures(const spec::AugmentationSpec& spec) {
  return spec.crop_padding != 0 || spec.flip || spec.auto_augment || spec.cutout != 0 ||
         spec.roll != 0;
}

void Augment(const spec::AugmentationSpec& spec, const PictureSize& size, const Draw& draw,
             std::span<const uint8_t> in, std::span<uint8_t> out) {
  RandomStream random(kStreamOfAugmentation ^ static_cast<uint64_t>(draw.seed) << 32,
                      static_cast<uint64_t>(draw.epoch), static_cast<uint64_t>(draw.picture));
  // Always drawn, so that one choice does not move another's numbers.
  const auto reach = static_cast<uint64_t>(2 * spec.crop_padding + 1);
  const int64_t down = static_cast<int64_t>(random.Below(reach)) - spec.crop_padding;
  const int64_t right = static_cast<int64_t>(random.Below(reach)) - spec.crop_padding;
  const bool mirror = random.Below(2) == 1 && spec.flip;
  const auto y = static_cast<int64_t>(random.Below(static_cast<uint64_t>(size.height)));
  const auto x = static_cast<int64_t>(random.Below(static_cast<uint64_t>(size.width)));
  const int64_t roll_down = Roll(random, spec.roll, size.height);
  const int64_t roll_right = Roll(random, spec.roll, size.width);

  size_t at = 0;
  for (int64_t c = 0; c < size.channels; ++c) {
    for (int64_t row = 0; row < size.height; ++row) {
      const int64_t from_row = (row + roll_down) % size.height + down;
      for (int64_t column = 0; column < size.width; ++column, ++at) {
        const int64_t rolled = (column + roll_right) % size.width;
        const int64_t from = (mirror ? size.width - 1 - rolled : rolled) + right;
        const bool inside =
            from_row >= 0 && from_row < size.height && from >= 0 && from < size.width;
        out[at] =
            inside ? in[static_cast<size_t>((c * size.height + from_row) * size.width + from)] : 0;
      }
    }
  }
  if (spec.auto_augment) AutoAugment(size, random, out);
  if (spec.cutout == 0) return;
  const int64_t top = std::max<int64_t>(0, y - spec.cutout / 2);
  const int64_t bottom = std::min(size.height, y - spec.cutout / 2 + spec.cutout);
  const int64_t left = std::max<int64_t>(0, x - spec.cutout / 2);
  const int64_t end = std::min(size.width, x - spec.cutout / 2 + spec.cutout);
  for (int64_t c = 0; c < size.channels; ++c) {
    for (int64_t row = top; row < bottom; ++row) {
      uint8_t* const line = out.data() + (c * size.height + row) * size.width;
      std::fill(line + left, line + end, uint8_t{0});
    }
  }
}

}  // namespace bsnn::trainer
