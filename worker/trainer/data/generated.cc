#include "worker/trainer/data/generated.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "worker/trainer/data/random_stream.h"

namespace bsnn::trainer {
namespace {

constexpr int kSide = 28;
constexpr int64_t kTrainPictures = 20'000;
constexpr int64_t kTestPictures = 4'000;
constexpr uint64_t kStreamOfSet = 0x62736E6E;  // "bsnn"

struct Stroke {
  double x0, y0, x1, y1;
};

/// The figures share strokes, so that no single stroke gives the class away.
constexpr std::array<std::array<Stroke, 3>, 10> kFigures = {{
    {{{-7, -7, 7, -7}, {-7, 7, 7, 7}, {-7, -7, -7, 7}}},
    {{{0, -8, 0, 8}, {-4, -4, 0, -8}, {-5, 8, 5, 8}}},
    {{{-7, -7, 7, -7}, {7, -7, -7, 7}, {-7, 7, 7, 7}}},
    {{{-7, -7, 7, -7}, {7, -7, 7, 7}, {-7, 7, 7, 7}}},
    {{{-7, -7, -7, 0}, {-7, 0, 7, 0}, {7, -7, 7, 7}}},
    {{{-7, -7, 7, 7}, {7, -7, -7, 7}, {-7, 0, 7, 0}}},
    {{{-7, -7, 7, 7}, {7, -7, -7, 7}, {0, -8, 0, 8}}},
    {{{-7, -7, 7, -7}, {7, -7, -7, 7}, {-3, 0, 4, 0}}},
    {{{0, -8, 0, 8}, {-7, 0, 7, 0}, {-7, 7, 7, 7}}},
    {{{-7, 0, 7, 0}, {-7, -7, -7, 7}, {7, -7, 7, 7}}},
}};

double DistanceToStroke(const Stroke& stroke, double x, double y) {
  const double dx = stroke.x1 - stroke.x0, dy = stroke.y1 - stroke.y0;
  const double share =
      std::clamp(((x - stroke.x0) * dx + (y - stroke.y0) * dy) / (dx * dx + dy * dy), 0.0, 1.0);
  return std::hypot(x - stroke.x0 - share * dx, y - stroke.y0 - share * dy);
}

void Draw(int label, RandomStream& random, uint8_t* picture) {
  const double shift_x = random.Uniform(-3, 3), shift_y = random.Uniform(-3, 3);
  const double slant = random.Uniform(-0.35, 0.35), scale = random.Uniform(0.75, 1.15);
  const double width = random.Uniform(0.9, 1.8), contrast = random.Uniform(0.45, 1.0);
  for (int row = 0; row < kSide; ++row) {
    for (int column = 0; column < kSide; ++column) {
      const double y = (row - 13.5 - shift_y) / scale;
      const double x = (column - 13.5 - shift_x) / scale - slant * y;
      double distance = 1e9;
      for (const Stroke& stroke : kFigures.at(static_cast<size_t>(label))) {
        distance = std::min(distance, DistanceToStroke(stroke, x, y));
      }
      const double ink = contrast * std::clamp(1.5 * (width - distance) + 0.5, 0.0, 1.0);
      const double noisy = ink + random.Uniform(-0.25, 0.25);
      picture[row * kSide + column] =
          static_cast<uint8_t>(std::lround(255 * std::clamp(noisy, 0.0, 1.0)));
    }
  }
}

}  // namespace

Pictures Generate(Split split, int64_t limit) {
  const int64_t whole = split == Split::kTrain ? kTrainPictures : kTestPictures;
  const int64_t size = limit == 0 ? whole : std::min(limit, whole);
  Pictures pictures;
  pictures.pixels.resize(static_cast<size_t>(size) * kSide * kSide);
  for (int64_t i = 0; i < size; ++i) {
    RandomStream random(kStreamOfSet, split == Split::kTrain ? 1 : 2, static_cast<uint64_t>(i));
    pictures.labels.push_back(static_cast<int32_t>(random.Below(10)));
    Draw(pictures.labels.back(), random, pictures.pixels.data() + i * kSide * kSide);
  }
  return pictures;
}

}  // namespace bsnn::trainer
