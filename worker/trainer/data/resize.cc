#include "worker/trainer/data/resize.h"

#include <algorithm>
#include <cmath>

#include "worker/trainer/data/bilinear.h"

namespace bsnn::trainer {
namespace {

/// `box` of `picture`, resized to height x width, of which the `side` x `side` at (top, left).
void Resize(const RgbPicture& picture, const Box& box, int64_t height, int64_t width, int64_t top,
            int64_t left, int64_t side, std::span<uint8_t> out) {
  const std::vector<Taps> columns = MakeTaps(box.width, width, left, side);
  const std::vector<Taps> rows = MakeTaps(box.height, height, top, side);
  const int64_t first_row = rows.front().first;
  const int64_t end_row = rows.back().first + std::ssize(rows.back().weights);
  std::vector<uint8_t> narrow(
      static_cast<size_t>((end_row - first_row) * side * 3));  // [R, side, 3]
  uint8_t* to = narrow.data();
  for (int64_t row = first_row; row < end_row; ++row) {
    const uint8_t* in = picture.pixels.data() + ((box.top + row) * picture.width + box.left) * 3;
    for (const Taps& taps : columns) {
      for (int64_t c = 0; c < 3; ++c) *to++ = Weigh(taps, in + c, 3);
    }
  }
  for (int64_t row = 0; row < side; ++row) {
    const Taps& taps = rows[static_cast<size_t>(row)];
    const uint8_t* in = narrow.data() - first_row * side * 3;
    for (int64_t column = 0; column < side; ++column) {
      for (int64_t c = 0; c < 3; ++c) {
        out[static_cast<size_t>((c * side + row) * side + column)] =
            Weigh(taps, in + column * 3 + c, side * 3);
      }
    }
  }
}

}  // namespace

Box RandomBox(int64_t height, int64_t width, RandomStream& random) {
  const auto area = static_cast<double>(height * width);
  const auto round = [](double v) { return static_cast<int64_t>(std::nearbyint(v)); };
  for (int draw = 0; draw < 10; ++draw) {
    const double wanted = area * random.Uniform(0.08, 1);
    const double ratio = std::exp(random.Uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
    Box box{.height = round(std::sqrt(wanted / ratio)), .width = round(std::sqrt(wanted * ratio))};
    if (box.width < 1 || box.width > width || box.height < 1 || box.height > height) continue;
    box.top = static_cast<int64_t>(random.Below(static_cast<uint64_t>(height - box.height + 1)));
    box.left = static_cast<int64_t>(random.Below(static_cast<uint64_t>(width - box.width + 1)));
    return box;
  }
  Box box{.height = height, .width = width};
  if (4 * width < 3 * height) {
    box.height = std::min(height, round(static_cast<double>(width) / 0.75));
  } else if (3 * width > 4 * height) {
    box.width = std::min(width, round(static_cast<double>(height) * (4.0 / 3)));
  }
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

void CutAndResize(const RgbPicture& picture, const Box& box, int64_t side, std::span<uint8_t> out) {
  Resize(picture, box, side, side, 0, 0, side, out);
}

void ResizeAndCutMiddle(const RgbPicture& picture, int64_t side, std::span<uint8_t> out) {
  const auto round = [](double v) { return static_cast<int64_t>(std::nearbyint(v)); };
  const int64_t shorter = round(static_cast<double>(side) * 256 / 224);
  const auto longer_of = [&](int64_t longer_in, int64_t shorter_in) {
    return static_cast<int64_t>(static_cast<double>(shorter * longer_in) /
                                static_cast<double>(shorter_in));
  };
  const bool upright = picture.width <= picture.height;
  const int64_t height = upright ? longer_of(picture.height, picture.width) : shorter;
  const int64_t width = upright ? shorter : longer_of(picture.width, picture.height);
  const auto middle = [&](int64_t whole) { return round(static_cast<double>(whole - side) / 2.0); };
  Resize(picture, {.height = picture.height, .width = picture.width}, height, width, middle(height),
         middle(width), side, out);
}

}  // namespace bsnn::trainer
