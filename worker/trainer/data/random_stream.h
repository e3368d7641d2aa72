/// Random numbers of a named stream: SplitMix64 over a key, the same on every machine.
#pragma once

#include <cstdint>

namespace bsnn::trainer {

/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
class RandomStream {
 public:
  /// Streams of different (a, b, c) are independent for our purposes.
  RandomStream(uint64_t a, uint64_t b, uint64_t c) : state_(Mix(Mix(Mix(a) ^ b) ^ c)) {}

  uint64_t Bits() { return Mix(state_ += 0x9E3779B97F4A7C15); }
  /// In [0, bound), without bias worth the name for bounds below 2^32. bound > 0.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<Wide>(Bits()) * bound) >> 64);
  }
  /// In [low, high).
  double Uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(Bits() >> 11) * 0x1.0p-53;
  }

 private:
  __extension__ using Wide = unsigned __int128;
  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

}  // namespace bsnn::trainer
