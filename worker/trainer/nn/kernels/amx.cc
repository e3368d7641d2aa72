#include "worker/trainer/nn/kernels/amx.h"

#include "worker/trainer/nn/kernels/matrix_tiles.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bsnn::trainer::kernels {

#if defined(__x86_64__) && defined(__linux__)
namespace {

bool ProcessorHasTiles() {
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kBf16) != 0 && (d & kTile) != 0 &&
         HasVectorsForAmx();
}

/// Linux gives a process tiles on request only: they make each thread's saved state 8 KiB larger.
bool KernelGrantsTiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

/// The product of two tiles of small whole numbers, which is exact in any order.
template <class Tiles>
void MultiplySmallNumbers(float* product) {
  uint32_t a[kTileWords], b[kTileWords];
  const auto bf16 = [](int number) {
    return std::bit_cast<uint32_t>(static_cast<float>(number)) >> 16;
  };
  for (int i = 0; i < kTileWords; ++i) {
    a[i] = bf16(i * 7 % 23 - 11) | bf16(i * 5 % 19 - 9) << 16;
    b[i] = bf16(i * 3 % 17 - 8) | bf16(i * 11 % 13 - 6) << 16;
  }
  Tiles tiles;
  tiles.template Clear<0>();
  tiles.template Load<1>(a, 64);
  tiles.template Load<2>(b, 64);
  tiles.template Multiply<0, 1, 2>();
  tiles.template Store<0>(product, 64);
}

bool ProductIsRight() {
  float by_amx[kTileWords], expected[kTileWords];
  MultiplySmallNumbers<AmxTiles>(by_amx);
  MultiplySmallNumbers<PlainTiles>(expected);
  return std::memcmp(by_amx, expected, sizeof(expected)) == 0;
}

}  // namespace

bool HasVectorsForAmx() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0;
}

bool AmxWorks() {
  static const bool works = ProcessorHasTiles() && KernelGrantsTiles() && ProductIsRight();
  return works;
}
#else
bool HasVectorsForAmx() { return false; }
bool AmxWorks() { return false; }
#endif

}  // namespace bsnn::trainer::kernels
