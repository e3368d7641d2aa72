#include "worker/trainer/data/events/plane_resizer.h"

#include <algorithm>
#include <cmath>

namespace bsnn::trainer {
namespace {

constexpr int kWeightBits = 22;

uint8_t Round(int64_t sum) {
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kWeightBits, 0, 255));
}

}  // namespace

PlaneResizer::PlaneResizer(int64_t side_in, int64_t side_out) : side_in_(side_in) {
  const double scale = static_cast<double>(side_in) / static_cast<double>(side_out);
  const double reach = std::max(scale, 1.0);  // half the triangle's base
  for (int64_t i = 0; i < side_out; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(center - reach + 0.5));
    const auto end = std::min(side_in, static_cast<int64_t>(center + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t j = first; j < end; ++j) {
      const double distance = std::abs((static_cast<double>(j) - center + 0.5) / reach);
      weights.push_back(std::max(0.0, 1 - distance));
      sum += weights.back();
    }
    Taps taps{first, {}};
    for (const double weight : weights) {
      taps.weights.push_back(static_cast<int32_t>(weight / sum * (1 << kWeightBits) + 0.5));
    }
    taps_.push_back(std::move(taps));
  }
}

void PlaneResizer::Run(std::span<const uint8_t> in, std::span<uint8_t> out) const {
  const size_t side_in = static_cast<size_t>(side_in_), side_out = taps_.size();
  std::vector<uint8_t> narrow(side_in * side_out);
  // The pixel of a row or column that starts at `from`, whose pixels lie `stride` apart.
  const auto mix = [](const Taps& taps, const uint8_t* from, size_t stride) {
    int64_t sum = int64_t{1} << (kWeightBits - 1);
    const uint8_t* pixel = from + static_cast<size_t>(taps.first) * stride;
    for (const int32_t weight : taps.weights) {
      sum += int64_t{weight} * *pixel;
      pixel += stride;
    }
    return Round(sum);
  };
  for (size_t y = 0; y < side_in; ++y) {
    for (size_t x = 0; x < side_out; ++x) {
      narrow[y * side_out + x] = mix(taps_[x], in.data() + y * side_in, 1);
    }
  }
  for (size_t y = 0; y < side_out; ++y) {
    for (size_t x = 0; x < side_out; ++x) {
      out[y * side_out + x] = mix(taps_[y], narrow.data() + x, side_out);
    }
  }
}

}  // namespace bsnn::trainer
