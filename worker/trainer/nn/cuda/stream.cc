// Only in builds with CUDA.
#include <c10/cuda/CUDAStream.h>

#include "worker/trainer/nn/cuda/support.h"

namespace bsnn::trainer::cuda {

void* StreamOf(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
}

}  // namespace bsnn::trainer::cuda
