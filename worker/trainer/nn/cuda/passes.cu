// The passes on the device. Built by nvcc; free of torch.
#include <cuda_runtime.h>

#include "worker/trainer/nn/cuda/passes.h"
#include "worker/trainer/nn/cuda/runs.h"

namespace bsnn::trainer::cuda {
namespace {

DeviceExecutor On(void* stream) { return DeviceExecutor{static_cast<cudaStream_t>(stream)}; }

}  // namespace

void RunLifForward(const LifForwardPass& pass, void* stream) { RunLifForward(On(stream), pass); }

void RunLifBackward(const LifBackwardPass& pass, void* stream) { RunLifBackward(On(stream), pass); }

int64_t SumStrips(const ActivationShape& shape) { return Windows(shape).lanes.strips; }

int64_t NormStrips(const NormShape& shape) { return LanesOf(shape).strips; }

void RunNormForward(const NormForwardPass& pass, void* stream) { RunNormForward(On(stream), pass); }

void RunAffine(const AffinePass& pass, void* stream) { RunAffine(On(stream), pass); }

void RunDeltaSums(const DeltaSumsPass& pass, void* stream) { RunDeltaSums(On(stream), pass); }

void RunNormBackward(const NormBackwardPass& pass, void* stream) {
  RunNormBackward(On(stream), pass);
}

void RunBinarize(const BinarizePass& pass, void* stream) { RunBinarize(On(stream), pass); }

void RunBinarizeBackward(const BinarizePass& pass, void* stream) {
  RunBinarizeBackward(On(stream), pass);
}

void RunFlips(const FlipPass& pass, void* stream) { RunFlips(On(stream), pass); }

void RunSplit(const SplitPass& pass, void* stream) { RunSplit(On(stream), pass); }

void RunMoments(const MomentsPass& pass, void* stream) { RunMoments(On(stream), pass); }

}  // namespace bsnn::trainer::cuda
