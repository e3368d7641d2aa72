/// Bytes of event recordings, put together by hand.
#pragma once

#include <cstdint>
#include <string>

namespace bsnn::trainer {

inline std::string Big(uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
  return text;
}
inline std::string Little(uint32_t value) {
  const std::string big = Big(value);
  return {big.rbegin(), big.rend()};
}

/// An event of N-MNIST.
inline std::string AtisEvent(int x, int y, uint32_t polarity, uint32_t time) {
  return std::string{static_cast<char>(x), static_cast<char>(y)} +
         Big(polarity << 31 | time << 8).substr(0, 3);
}

}  // namespace bsnn::trainer
