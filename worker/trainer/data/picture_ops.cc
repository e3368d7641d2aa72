#include "worker/trainer/data/picture_ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace bsnn::trainer {
namespace {

constexpr uint8_t kOutside = 128;
using Levels = std::array<uint8_t, 256>;
using Counts = std::array<int64_t, 256>;

Counts CountLevels(std::span<const uint8_t> plane) {
  Counts counts{};
  for (const uint8_t level : plane) ++counts[level];
  return counts;
}

template <class Level>
Levels MakeLevels(Level&& level) {
  Levels levels{};
  for (int i = 0; i < 256; ++i) {
    levels[static_cast<size_t>(i)] = static_cast<uint8_t>(std::clamp<int64_t>(level(i), 0, 255));
  }
  return levels;
}

Levels AutocontrastLevels(std::span<const uint8_t> plane) {
  const auto [low, high] = std::minmax_element(plane.begin(), plane.end());
  if (*high <= *low) return MakeLevels([](int i) { return i; });
  const double scale = 255.0 / (*high - *low);
  const double offset = -*low * scale;
  return MakeLevels([&](int i) { return static_cast<int64_t>(i * scale + offset); });
}

Levels EqualizeLevels(std::span<const uint8_t> plane) {
  const Counts counts = CountLevels(plane);
  const auto last = std::find_if(counts.rbegin(), counts.rend(), [](auto n) { return n > 0; });
  const int64_t step = (std::ssize(plane) - *last) / 255;
  if (step == 0) return MakeLevels([](int i) { return i; });
  int64_t sum = step / 2;
  return MakeLevels([&](int i) {
    const int64_t level = sum / step;
    sum += counts[static_cast<size_t>(i)];
    return level;
  });
}

/// `from` + factor * (to - from), in float as Pillow does.
uint8_t Blend(int from, int to, float factor) {
  const float level = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<uint8_t>(std::clamp(level, 0.0F, 255.0F));
}

std::vector<uint8_t> Grey(const PictureSize& size, std::span<const uint8_t> picture) {
  const auto plane = static_cast<size_t>(size.plane());
  std::vector<uint8_t> grey(plane);
  for (size_t i = 0; i < plane; ++i) {
    grey[i] = static_cast<uint8_t>((picture[i] * 19595 + picture[plane + i] * 38470 +
                                    picture[2 * plane + i] * 7471 + 0x8000) >>
                                   16);
  }
  return grey;
}

/// The mean over 3x3 pixels, the middle counted five times; the frame stays.
std::vector<uint8_t> Smooth(const PictureSize& size, std::span<const uint8_t> picture) {
  std::vector<uint8_t> smooth(picture.begin(), picture.end());
  for (int64_t c = 0; c < size.channels; ++c) {
    for (int64_t y = 1; y + 1 < size.height; ++y) {
      for (int64_t x = 1; x + 1 < size.width; ++x) {
        const auto at = static_cast<size_t>((c * size.height + y) * size.width + x);
        int sum = 4 * picture[at];
        for (int64_t dy = -1; dy <= 1; ++dy) {
          for (int64_t dx = -1; dx <= 1; ++dx) {
            sum += picture[at + static_cast<size_t>(dy * size.width + dx)];
          }
        }
        smooth[at] = static_cast<uint8_t>((2 * sum + 13) / 26);
      }
    }
  }
  return smooth;
}

/// Where the pixel (x, y) of the new picture comes from: (a x + b y + c, d x + e y + f).
struct Affine {
  double a = 1, b = 0, c = 0, d = 0, e = 1, f = 0;
};

/// Calls copy(to, from) for each pixel whose source pixel is inside.
template <class Copy>
void Nearest(const Affine& m, const PictureSize& size, Copy&& copy) {
  const auto inside = [](int64_t at, int64_t end) { return at >= 0 && at < end; };
  const auto floor = [](double v) { return v < 0 ? int64_t{-1} : static_cast<int64_t>(v); };
  if (m.b == 0 && m.d == 0) {
    double from_y = m.f + m.e * 0.5;
    for (int64_t y = 0; y < size.height; ++y, from_y += m.e) {
      double from_x = m.c + m.a * 0.5;
      for (int64_t x = 0; x < size.width; ++x, from_x += m.a) {
        if (inside(floor(from_y), size.height) && inside(floor(from_x), size.width)) {
          copy(y * size.width + x, floor(from_y) * size.width + floor(from_x));
        }
      }
    }
    return;
  }
  // Sixteen bits behind the point.
  const auto fixed = [](double v) { return static_cast<int64_t>(std::floor(v * 65536.0 + 0.5)); };
  int64_t row_x = fixed(m.c + m.a * 0.5 + m.b * 0.5);
  int64_t row_y = fixed(m.f + m.d * 0.5 + m.e * 0.5);
  for (int64_t y = 0; y < size.height; ++y, row_x += fixed(m.b), row_y += fixed(m.e)) {
    int64_t from_x = row_x;
    int64_t from_y = row_y;
    for (int64_t x = 0; x < size.width; ++x, from_x += fixed(m.a), from_y += fixed(m.d)) {
      if (inside(from_x >> 16, size.width) && inside(from_y >> 16, size.height)) {
        copy(y * size.width + x, (from_y >> 16) * size.width + (from_x >> 16));
      }
    }
  }
}

void TransformNearest(const Affine& m, const PictureSize& size, std::span<uint8_t> picture) {
  const std::vector<uint8_t> in(picture.begin(), picture.end());
  std::fill(picture.begin(), picture.end(), kOutside);
  Nearest(m, size, [&](int64_t to, int64_t from) {
    for (int64_t c = 0; c < size.channels; ++c) {
      picture[static_cast<size_t>(c * size.plane() + to)] =
          in[static_cast<size_t>(c * size.plane() + from)];
    }
  });
}

/// Through four points at -1, 0, 1, 2, at `at` in [0, 1).
double Cubic(const std::array<double, 4>& v, double at) {
  const double p1 = v[1];
  const double p2 = -v[0] + v[2];
  const double p3 = 2 * (v[0] - v[1]) + v[2] - v[3];
  const double p4 = -v[0] + v[1] - v[2] + v[3];
  return p1 + at * (p2 + at * (p3 + at * p4));
}

/// The level of `plane` between its pixels, around (x, y) inside of it.
uint8_t Bicubic(const PictureSize& size, const uint8_t* plane, double x, double y) {
  const double left = std::floor(x - 0.5);
  const double top = std::floor(y - 0.5);
  const auto first_x = static_cast<int64_t>(left) - 1;
  const auto first_y = static_cast<int64_t>(top) - 1;
  std::array<double, 4> rows{};
  for (int64_t j = 0; j < 4; ++j) {
    const int64_t row = std::clamp<int64_t>(first_y + j, 0, size.height - 1);
    std::array<double, 4> values{};
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t column = std::clamp<int64_t>(first_x + i, 0, size.width - 1);
      values[static_cast<size_t>(i)] = plane[row * size.width + column];
    }
    rows[static_cast<size_t>(j)] = Cubic(values, x - 0.5 - left);
  }
  return static_cast<uint8_t>(std::clamp(Cubic(rows, y - 0.5 - top), 0.0, 255.0));
}

void TransformBicubic(const Affine& m, const PictureSize& size, std::span<uint8_t> picture) {
  const std::vector<uint8_t> in(picture.begin(), picture.end());
  std::fill(picture.begin(), picture.end(), kOutside);
  for (int64_t row = 0; row < size.height; ++row) {
    for (int64_t column = 0; column < size.width; ++column) {
      const double to_x = static_cast<double>(column) + 0.5;
      const double to_y = static_cast<double>(row) + 0.5;
      const double x = m.a * to_x + m.b * to_y + m.c;
      const double y = m.d * to_x + m.e * to_y + m.f;
      if (x < 0 || x >= static_cast<double>(size.width) || y < 0 ||
          y >= static_cast<double>(size.height)) {
        continue;
      }
      for (int64_t c = 0; c < size.channels; ++c) {
        picture[static_cast<size_t>(c * size.plane() + row * size.width + column)] =
            Bicubic(size, in.data() + c * size.plane(), x, y);
      }
    }
  }
}

Affine Rotation(double degrees, const PictureSize& size) {
  const double angle = -degrees * std::numbers::pi / 180;
  const auto round15 = [](double v) { return std::round(v * 1e15) / 1e15; };
  Affine m{.a = round15(std::cos(angle)), .b = round15(std::sin(angle))};
  m.d = round15(-std::sin(angle));
  m.e = m.a;
  const double middle_x = static_cast<double>(size.width) / 2;
  const double middle_y = static_cast<double>(size.height) / 2;
  m.c = m.a * -middle_x + m.b * -middle_y + middle_x;
  m.f = m.d * -middle_x + m.e * -middle_y + middle_y;
  return m;
}

}  // namespace

void Apply(PictureOp op, double value, const PictureSize& size, std::span<uint8_t> picture) {
  const auto plane = static_cast<size_t>(size.plane());
  const auto factor = static_cast<float>(value);
  const auto by_levels = [&](auto&& levels_of_plane) {
    for (size_t c = 0; c < 3; ++c) {
      const auto one = picture.subspan(c * plane, plane);
      const Levels levels = levels_of_plane(one);
      for (uint8_t& level : one) level = levels[level];
    }
  };
  const auto blend_with = [&](auto&& other) {
    if (factor == 1) return;
    for (size_t i = 0; i < picture.size(); ++i) picture[i] = Blend(other(i), picture[i], factor);
  };
  switch (op) {
    case PictureOp::kInvert:
      return by_levels([](auto) { return MakeLevels([](int i) { return 255 - i; }); });
    case PictureOp::kAutocontrast:
      return by_levels(AutocontrastLevels);
    case PictureOp::kEqualize:
      return by_levels(EqualizeLevels);
    case PictureOp::kPosterize:
      return by_levels([&](auto) {
        const int mask = ~((1 << (8 - static_cast<int>(value))) - 1);
        return MakeLevels([&](int i) { return i & mask; });
      });
    case PictureOp::kSolarize:
      return by_levels(
          [&](auto) { return MakeLevels([&](int i) { return i < value ? i : 255 - i; }); });
    case PictureOp::kColor: {
      const std::vector<uint8_t> grey = Grey(size, picture);
      return blend_with([&](size_t i) { return grey[i % plane]; });
    }
    case PictureOp::kContrast: {
      int64_t sum = 0;
      for (const uint8_t level : Grey(size, picture)) sum += level;
      const auto mean =
          static_cast<uint8_t>(static_cast<double>(sum) / static_cast<double>(plane) + 0.5);
      return blend_with([&](size_t) { return mean; });
    }
    case PictureOp::kBrightness:
      return blend_with([](size_t) { return 0; });
    case PictureOp::kSharpness: {
      const std::vector<uint8_t> smooth = Smooth(size, picture);
      return blend_with([&](size_t i) { return smooth[i]; });
    }
    case PictureOp::kShearY:
      return TransformBicubic({.d = value}, size, picture);
    case PictureOp::kTranslateX:
      return TransformNearest({.c = value}, size, picture);
    case PictureOp::kTranslateY:
      return TransformNearest({.f = value}, size, picture);
    case PictureOp::kRotate:
      return TransformNearest(Rotation(value, size), size, picture);
  }
}

}  // namespace bsnn::trainer
