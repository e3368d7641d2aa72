#include "worker/trainer/nn/random.h"

#include <cmath>

namespace bsnn::trainer {
namespace {

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) : state_(Mix(seed + kGolden) ^ Mix(Mix(stream))) {}

uint64_t Random::Bits() { return Mix(state_ += kGolden); }

double Random::Uniform() { return static_cast<double>((Bits() >> 11) + 1) * 0x1.0p-53; }

void Random::FillNormal(std::span<float> out, double deviation) {
  constexpr double kTwoPi = 6.283185307179586;
  for (size_t i = 0; i < out.size(); i += 2) {
    const double radius = std::sqrt(-2.0 * std::log(Uniform()));
    const double angle = kTwoPi * Uniform();
    out[i] = static_cast<float>(deviation * radius * std::cos(angle));
    if (i + 1 < out.size()) out[i + 1] = static_cast<float>(deviation * radius * std::sin(angle));
  }
}

}  // namespace bsnn::trainer
