#include "worker/trainer/data/auto_augment.h"

#include <array>
#include <cmath>

namespace bsnn::trainer {
namespace {

struct Choice {
  double chance;
  PictureOp op;
  int level;
};

using enum PictureOp;
constexpr std::array<std::array<Choice, 2>, 25> kPolicy = {{
    {{{0.1, kInvert, 7}, {0.2, kContrast, 6}}},
    {{{0.7, kRotate, 2}, {0.3, kTranslateX, 9}}},
    {{{0.8, kSharpness, 1}, {0.9, kSharpness, 3}}},
    {{{0.5, kShearY, 8}, {0.7, kTranslateY, 9}}},
    {{{0.5, kAutocontrast, 8}, {0.9, kEqualize, 2}}},
    {{{0.2, kShearY, 7}, {0.3, kPosterize, 7}}},
    {{{0.4, kColor, 3}, {0.6, kBrightness, 7}}},
    {{{0.3, kSharpness, 9}, {0.7, kBrightness, 9}}},
    {{{0.6, kEqualize, 5}, {0.5, kEqualize, 1}}},
    {{{0.6, kContrast, 7}, {0.6, kSharpness, 5}}},
    {{{0.7, kColor, 7}, {0.5, kTranslateX, 8}}},
    {{{0.3, kEqualize, 7}, {0.4, kAutocontrast, 8}}},
    {{{0.4, kTranslateY, 3}, {0.2, kSharpness, 6}}},
    {{{0.9, kBrightness, 6}, {0.2, kColor, 8}}},
    {{{0.5, kSolarize, 2}, {0.0, kInvert, 3}}},
    {{{0.2, kEqualize, 0}, {0.6, kAutocontrast, 0}}},
    {{{0.2, kEqualize, 8}, {0.6, kEqualize, 4}}},
    {{{0.9, kColor, 9}, {0.6, kEqualize, 6}}},
    {{{0.8, kAutocontrast, 4}, {0.2, kSolarize, 8}}},
    {{{0.1, kBrightness, 3}, {0.7, kColor, 0}}},
    {{{0.4, kSolarize, 5}, {0.9, kAutocontrast, 3}}},
    {{{0.9, kTranslateY, 9}, {0.7, kTranslateY, 9}}},
    {{{0.9, kAutocontrast, 2}, {0.8, kSolarize, 3}}},
    {{{0.8, kEqualize, 8}, {0.1, kInvert, 3}}},
    {{{0.7, kTranslateY, 9}, {0.9, kAutocontrast, 1}}},
}};

double ValueOf(const Choice& choice, const PictureSize& size, double sign) {
  const auto up_to = [&](double last) { return choice.level * (last / 9); };
  switch (choice.op) {
    case kPosterize:
      return std::nearbyint(8 - up_to(4));
    case kSolarize:
      return 256 - up_to(256);
    case kColor:
    case kContrast:
    case kBrightness:
    case kSharpness:
      return 1 + sign * up_to(0.9);
    case kShearY:
      return sign * up_to(0.3);
    case kTranslateX:
      return sign * up_to(150.0 / 331) * static_cast<double>(size.width);
    case kTranslateY:
      return sign * up_to(150.0 / 331) * static_cast<double>(size.height);
    case kRotate:
      return up_to(30);
    default:
      return 0;
  }
}

}  // namespace

void AutoAugment(const PictureSize& size, RandomStream& random, std::span<uint8_t> picture) {
  for (const Choice& choice : kPolicy.at(random.Below(kPolicy.size()))) {
    const bool is_done = random.Uniform(0, 1) < choice.chance;
    const double sign = random.Below(2) == 0 ? -1 : 1;
    if (is_done) Apply(choice.op, ValueOf(choice, size, sign), size, picture);
  }
}

}  // namespace bsnn::trainer
