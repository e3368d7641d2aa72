/// Vectors of 16 floats. Private to nn/kernels: they pass between inlined functions only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "worker/trainer/nn/kernels/clones.h"

namespace bsnn::trainer::kernels {

/// In one or more registers, as wide as the processor has them.
typedef float Lanes __attribute__((vector_size(64)));
typedef float UnalignedLanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t LaneBits __attribute__((vector_size(64)));

/// A short copy in place: a call to memmove costs more than it copies.
BSNN_INLINE void CopyFloats(const float* from, int64_t count, float* to) {
  constexpr int64_t kMost = sizeof(Lanes) / sizeof(float);
  int64_t i = 0;
  for (; i + kMost <= count; i += kMost) {
    *reinterpret_cast<UnalignedLanes*>(to + i) = *reinterpret_cast<const UnalignedLanes*>(from + i);
  }
  for (; i < count; ++i) to[i] = from[i];
}

/// The first `count` numbers, up to 16; 0 behind them.
BSNN_INLINE void LoadLanes(const float* from, int64_t count, Lanes* to) {
  constexpr int64_t kMost = sizeof(Lanes) / sizeof(float);
  if (count >= kMost) {
    *to = *reinterpret_cast<const UnalignedLanes*>(from);
    return;
  }
  Lanes some = {};  // not *to: that may stay in a register
  std::memcpy(&some, from, static_cast<size_t>(count) * sizeof(float));
  *to = some;
}

/// Uninitialised memory, aligned for Lanes.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : data_(static_cast<T*>(
            ::operator new (static_cast<size_t>(count) * sizeof(T), std::align_val_t{64}))) {}
  ~Scratch() { ::operator delete (data_, std::align_val_t{64}); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }
  T& operator[](int64_t i) { return data_[i]; }

 private:
  T* data_;
};

/// Rounded to bf16's 8 significant bits, to the nearest, ties to even; infinities stay.
BSNN_INLINE void RoundToBf16(Lanes* numbers, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = reinterpret_cast<LaneBits>(numbers[i]);
    const LaneBits rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    numbers[i] = reinterpret_cast<Lanes>(rounded);
  }
}

}  // namespace bsnn::trainer::kernels
