#include "worker/trainer/data/bilinear.h"

#include <algorithm>
#include <cmath>

namespace bsnn::trainer {
namespace {

constexpr int kPrecisionBits = 22;

}  // namespace

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

}  // namespace bsnn::trainer
