/// How the CUDA passes are written: as bodies that both compilers understand. nvcc makes kernels of
/// them; the C++ compiler runs the same bodies in loops, so that a machine without a GPU tests
/// their arithmetic and their indices. Private to nn/cuda and its tests. Free of torch.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/trainer/nn/kernels/clones.h"

#ifdef __CUDA_ARCH__
#define BSNN_UNROLL _Pragma("unroll")
#else
#define BSNN_UNROLL
#endif

namespace bsnn::trainer::cuda {

/// Which thread of which block runs. Blocks have `threads` threads.
struct Place {
  int64_t block;
  int thread;
  int threads;
  BSNN_INLINE int64_t index() const { return block * threads + thread; }
};

/// A body is a copyable struct of plain values and pointers with
///   static constexpr int kPhases;   every thread of a block ends one before any begins the next
///   static constexpr int kScratch;  numbers of float64 that a thread's block has for each thread
///   void Run(int phase, Place at, double* scratch) const;
/// and it takes any number of threads a block that is a multiple of 32. All threads run every
/// phase: one with nothing to do does nothing.

/// The sums of R numbers a thread over a block's threads, in an order that is fixed: first 16
/// threads add a sixteenth each, then the first thread adds those.
template <int R>
struct BlockSum {
  static constexpr int kScratch = R + 1;
  static constexpr int kParts = 16;

  BSNN_INLINE static void Put(double* scratch, const Place& at, int r, double value) {
    scratch[r * at.threads + at.thread] = value;
  }
  /// In a phase after all have Put.
  BSNN_INLINE static void AddParts(double* scratch, const Place& at) {
    if (at.thread >= kParts) return;
    const int share = at.threads / kParts;
    for (int r = 0; r < R; ++r) {
      double sum = 0;
      for (int i = 0; i < share; ++i) sum += scratch[r * at.threads + at.thread * share + i];
      scratch[R * at.threads + at.thread * R + r] = sum;  // 16 R <= threads
    }
  }
  /// In a phase after AddParts, by any thread.
  BSNN_INLINE static double Total(const double* scratch, const Place& at, int r) {
    double sum = 0;
    for (int i = 0; i < kParts; ++i) sum += scratch[R * at.threads + i * R + r];
    return sum;
  }
};

/// Adds `count` to *total: one addition for a warp. Whole numbers, so the order does not show.
/// All 32 threads of a warp call it together.
BSNN_INLINE void AddCount(int64_t* total, int count) {
#ifdef __CUDA_ARCH__
  int sum = count;
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, step);
  if (threadIdx.x % 32 == 0 && sum != 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(total), static_cast<unsigned long long>(sum));
  }
#else
  *total += count;
#endif
}

BSNN_INLINE int CountBits(uint64_t word) {
#ifdef __CUDA_ARCH__
  return __popcll(word);
#else
  return __builtin_popcountll(word);
#endif
}

/// Runs bodies one after the other on the CPU.
struct HostExecutor {
  template <class Body>
  void Run(const Body& body, int64_t blocks, int threads) const {
    std::vector<double> scratch(static_cast<size_t>(Body::kScratch) * threads);
    for (int64_t block = 0; block < blocks; ++block) {
      for (int phase = 0; phase < Body::kPhases; ++phase) {
        for (int thread = 0; thread < threads; ++thread) {
          body.Run(phase, Place{block, thread, threads}, scratch.data());
        }
      }
    }
  }
};

#ifdef __CUDACC__
template <class Body>
__global__ void __launch_bounds__(512) RunBody(const Body body) {
  extern __shared__ double scratch[];
  const Place at{static_cast<int64_t>(blockIdx.x), static_cast<int>(threadIdx.x),
                 static_cast<int>(blockDim.x)};
  BSNN_UNROLL
  for (int phase = 0; phase < Body::kPhases; ++phase) {
    body.Run(phase, at, scratch);
    if (phase + 1 < Body::kPhases) __syncthreads();
  }
}

/// Launches bodies on a stream. A launch that fails shows at PyTorch's next check of the device.
struct DeviceExecutor {
  cudaStream_t stream;

  template <class Body>
  void Run(const Body& body, int64_t blocks, int threads) const {
    if (blocks == 0) return;
    const size_t scratch = static_cast<size_t>(Body::kScratch) * threads * sizeof(double);
    RunBody<Body><<<static_cast<unsigned>(blocks), threads, scratch, stream>>>(body);
  }
};
#endif

inline constexpr int kThreads = 256;

/// One thread for each of `count` things.
template <class Executor, class Body>
void RunEach(const Executor& executor, const Body& body, int64_t count) {
  executor.Run(body, (count + kThreads - 1) / kThreads, kThreads);
}

}  // namespace bsnn::trainer::cuda
