#include "worker/trainer/data/resize.h"

#include <algorithm>
#include <cmath>

namespace bsnn::trainer {
namespace {

constexpr int kPrecisionBits = 22;

/// What one output pixel takes of a line of input pixels, in units of 2^-22.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

/// The outputs [from, from + count) of a line of `in` pixels resized to `out`.
std::vector<Taps> MakeTaps(int64_t in, int64_t out, int64_t from, int64_t count) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double reach = std::max(scale, 1.0);
  std::vector<Taps> line(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    Taps& taps = line[static_cast<size_t>(i)];
    const double centre = (static_cast<double>(from + i) + 0.5) * scale;
    taps.first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
    const int64_t end = std::min(in, static_cast<int64_t>(centre + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t x = taps.first; x < end; ++x) {
      const double distance = std::abs((static_cast<double>(x) - centre + 0.5) * (1.0 / reach));
      weights.push_back(distance < 1 ? 1 - distance : 0);
      sum += weights.back();
    }
    for (const double weight : weights) {
      const double share = sum == 0 ? weight : weight / sum;
      taps.weights.push_back(static_cast<int32_t>(0.5 + share * (1 << kPrecisionBits)));
    }
  }
  return line;
}

uint8_t Weigh(const Taps& taps, const uint8_t* in, int64_t stride) {
  int32_t sum = 1 << (kPrecisionBits - 1);
  for (size_t i = 0; i < taps.weights.size(); ++i) {
    sum += taps.weights[i] * in[(taps.first + static_cast<int64_t>(i)) * stride];
  }
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

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
