/// For kernels: plain loops that the compiler vectorises, one copy for each width of vector unit.
/// Private to nn/kernels and optim. Sources are built with -O3 -ffp-contract=off and without
/// reassociation, so that all copies give the same bits.
#pragma once

#include <bit>
#include <cstdint>

#ifdef __CUDACC__
#define BSNN_INLINE __host__ __device__ inline  // what nn/cuda shares with the CPU
#else
#define BSNN_INLINE inline __attribute__((always_inline))
#endif

// Resolvers of cloned functions run before a sanitizer is ready.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
#define BSNN_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define BSNN_CLONES
#endif

namespace bsnn::trainer::kernels {

/// exp(x) for x <= 0, relative error below 3e-7; 0 below -87. Vectorises, unlike std::exp.
/// Source: Cody and Waite reduction and the degree-5 minimax polynomial of Cephes' expf.
BSNN_INLINE float ExpOfNegative(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float n = static_cast<float>(static_cast<int32_t>(x * 1.44269504088896341f - 0.5f));
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
#ifdef __CUDA_ARCH__
  return p * __int_as_float(bits);
#else
  return p * std::bit_cast<float>(bits);
#endif
}

}  // namespace bsnn::trainer::kernels
