// The passes in a build without CUDA: each body on the CPU, thread by thread. For tests: it is the
// code that nvcc compiles, but for the launch.
#include "worker/trainer/nn/cuda/passes.h"
#include "worker/trainer/nn/cuda/runs.h"
#include "worker/trainer/nn/cuda/support.h"

namespace bsnn::trainer::cuda {

void* StreamOf(const at::Tensor&) { return nullptr; }

void RunLifForward(const LifForwardPass& pass, void*) { RunLifForward(HostExecutor{}, pass); }

void RunLifBackward(const LifBackwardPass& pass, void*) { RunLifBackward(HostExecutor{}, pass); }

int64_t SumStrips(const ActivationShape& shape) { return Windows(shape).lanes.strips; }

int64_t NormStrips(const NormShape& shape) { return LanesOf(shape).strips; }

void RunNormForward(const NormForwardPass& pass, void*) { RunNormForward(HostExecutor{}, pass); }

void RunAffine(const AffinePass& pass, void*) { RunAffine(HostExecutor{}, pass); }

void RunDeltaSums(const DeltaSumsPass& pass, void*) { RunDeltaSums(HostExecutor{}, pass); }

void RunNormBackward(const NormBackwardPass& pass, void*) { RunNormBackward(HostExecutor{}, pass); }

void RunBinarize(const BinarizePass& pass, void*) { RunBinarize(HostExecutor{}, pass); }

void RunBinarizeBackward(const BinarizePass& pass, void*) {
  RunBinarizeBackward(HostExecutor{}, pass);
}

void RunFlips(const FlipPass& pass, void*) { RunFlips(HostExecutor{}, pass); }

void RunSplit(const SplitPass& pass, void*) { RunSplit(HostExecutor{}, pass); }

void RunMoments(const MomentsPass& pass, void*) { RunMoments(HostExecutor{}, pass); }

}  // namespace bsnn::trainer::cuda
