/// Random numbers for initial weights: own generator, so that a seed means the same everywhere.
#pragma once

#include <cstdint>
#include <span>

namespace bsnn::trainer {

/// SplitMix64 with the Box-Muller transform. Thread-compatible. `stream` separates generators of
/// one seed. Source: Steele, Lea and Flood, OOPSLA 2014; Box and Muller, 1958.
class Random {
 public:
  Random(uint64_t seed, uint64_t stream);

  uint64_t Bits();
  /// Uniform in (0, 1].
  double Uniform();
  /// Fills `out` with draws from N(0, deviation^2).
  void FillNormal(std::span<float> out, double deviation);

 private:
  uint64_t state_;
};

}  // namespace bsnn::trainer
