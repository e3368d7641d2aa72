#include "worker/trainer/data/augment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

namespace bsnn::trainer {
namespace {

constexpr PictureSize kSize{2, 5, 6};

/// No two pixels alike, none 0.
std::vector<uint8_t> Picture() {
  std::vector<uint8_t> pixels(static_cast<size_t>(kSize.bytes()));
  std::iota(pixels.begin(), pixels.end(), uint8_t{1});
  return pixels;
}

std::vector<uint8_t> Changed(const spec::AugmentationSpec& spec, const Draw& draw) {
  const std::vector<uint8_t> in = Picture();
  std::vector<uint8_t> out(in.size(), 255);
  Augment(spec, kSize, draw, in, out);
  return out;
}

TEST(Augment, LeavesThePictureWhereNothingIsAsked) { EXPECT_EQ(Changed({}, {1, 2, 3}), Picture()); }

TEST(Augment, IsDecidedBySeedEpochAndPicture) {
  const spec::AugmentationSpec spec{.crop_padding = 2, .flip = true, .cutout = 3};
  EXPECT_EQ(Changed(spec, {1, 2, 3}), Changed(spec, {1, 2, 3}));
  std::set<std::vector<uint8_t>> seen;
  for (int64_t i = 0; i < 20; ++i) {
    seen.insert(Changed(spec, {i, 0, 0}));
    seen.insert(Changed(spec, {0, i + 1, 0}));
    seen.insert(Changed(spec, {0, 0, i + 1}));
  }
  EXPECT_GT(seen.size(), 50u);
}

TEST(Augment, MirrorsHalfOfThePictures) {
  std::vector<uint8_t> mirrored = Picture();
  for (auto row = mirrored.begin(); row != mirrored.end(); row += kSize.width) {
    std::reverse(row, row + kSize.width);
  }
  int count = 0;
  for (int64_t i = 0; i < 400; ++i) {
    const auto out = Changed({.flip = true}, {1, 0, i});
    EXPECT_TRUE(out == Picture() || out == mirrored);
    count += out == mirrored;
  }
  EXPECT_NEAR(count, 200, 40);
}

TEST(Augment, CropsAShiftedPictureWithZerosAroundIt) {
  std::set<std::pair<int, int>> shifts;
  for (int64_t i = 0; i < 400; ++i) {
    const auto out = Changed({.crop_padding = 1}, {1, 0, i});
    // Pixel (2, 2) of the first plane is 15: where the crop shows it tells the shift.
    const auto at = std::find(out.begin(), out.end(), 15) - out.begin();
    const int down = static_cast<int>(2 - at / kSize.width);
    const int right = static_cast<int>(2 - at % kSize.width);
    shifts.insert({down, right});
    for (int64_t p = 0; p < kSize.bytes(); ++p) {
      const int64_t c = p / 30, y = p / 6 % 5 + down, x = p % 6 + right;
      const bool inside = y >= 0 && y < 5 && x >= 0 && x < 6;
      EXPECT_EQ(out[static_cast<size_t>(p)], inside ? c * 30 + y * 6 + x + 1 : 0);
    }
  }
  EXPECT_EQ(shifts.size(), 9u) << "each shift by -1, 0 or 1";
}

TEST(Augment, RollsEveryPlaneInACircle) {
  std::set<std::pair<int64_t, int64_t>> shifts;
  for (int64_t i = 0; i < 400; ++i) {
    const auto out = Changed({.roll = 1}, {1, 0, i});
    const int64_t at = std::find(out.begin(), out.end(), 1) - out.begin();  // pixel (0, 0)
    const int64_t down = at / 6, right = at % 6;
    shifts.insert({down, right});
    for (int64_t p = 0; p < kSize.bytes(); ++p) {
      const int64_t c = p / 30, y = (p / 6 % 5 - down + 5) % 5, x = (p % 6 - right + 6) % 6;
      EXPECT_EQ(out[static_cast<size_t>(p)], c * 30 + y * 6 + x + 1);
    }
  }
  EXPECT_EQ(shifts.size(), 9u) << "each shift by -1, 0 or 1";
}

TEST(Augment, CutsOneSquareOutOfEveryPlane) {
  std::set<int64_t> sizes;
  for (int64_t i = 0; i < 400; ++i) {
    const auto out = Changed({.cutout = 3}, {1, 0, i});
    const auto zeros = std::count(out.begin(), out.end(), 0);
    EXPECT_EQ(std::count(out.begin(), out.begin() + 30, 0) * 2, zeros);
    sizes.insert(zeros / 2);
  }
  EXPECT_THAT(sizes, testing::ElementsAre(4, 6, 9)) << "whole, at a border, in a corner";
}

TEST(Augment, AutoAugmentStandsBetweenMirrorAndCutoutAndMovesNoOtherNumber) {
  constexpr PictureSize colour{3, 8, 8};
  std::vector<uint8_t> in(static_cast<size_t>(colour.bytes()));
  std::iota(in.begin(), in.end(), uint8_t{20});
  const auto changed = [&](const spec::AugmentationSpec& spec, int64_t picture) {
    std::vector<uint8_t> out(in.size());
    Augment(spec, colour, {1, 0, picture}, in, out);
    return out;
  };
  int differ = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const auto plain = changed({.crop_padding = 1, .flip = true, .cutout = 4}, i);
    const auto both =
        changed({.crop_padding = 1, .flip = true, .auto_augment = true, .cutout = 4}, i);
    differ += plain != both;
    const auto uncut = changed({.crop_padding = 1, .flip = true}, i);
    for (size_t p = 0; p < plain.size(); ++p) {
      if (plain[p] != 0 || uncut[p] == 0) continue;
      EXPECT_EQ(both[p], 0) << "the square comes last";
    }
  }
  EXPECT_GT(differ, 120);
  EXPECT_LT(differ, 200) << "some pairs do nothing";
}

}  // namespace
}  // namespace bsnn::trainer
