/// The passes as sequences of bodies, for either executor. Private to nn/cuda and its tests.
#pragma once

#include "worker/trainer/nn/cuda/gate_bodies.h"
#include "worker/trainer/nn/cuda/lif_bodies.h"
#include "worker/trainer/nn/cuda/norm_bodies.h"
#include "worker/trainer/nn/cuda/weight_bodies.h"

namespace bsnn::trainer::cuda {

/// Runs Body<V, kT, kPixels> for the pass's shape: four channels at once where they divide, T known
/// to the compiler for the usual ones.
template <template <int, int, int> class Body, class Executor, class Pass>
void RunOverTime(const Executor& executor, const Pass& pass) {
  const Windows windows(pass.shape);
  const auto run = [&]<int V, int kT, int kPixels>() {
    RunEach(executor, Body<V, kT, kPixels>{pass, windows},
            pass.shape.batch * (windows.lanes.width() / V));
  };
  const auto choose = [&]<int kPixels>() {
    if (!windows.lanes.wide()) return run.template operator()<1, 0, kPixels>();
    switch (pass.shape.steps) {
      case 1:
        return run.template operator()<4, 1, kPixels>();
      case 2:
        return run.template operator()<4, 2, kPixels>();
      case 4:
        return run.template operator()<4, 4, kPixels>();
      default:
        return run.template operator()<4, 0, kPixels>();
    }
  };
  if (windows.width > 0) return choose.template operator()<4>();
  return choose.template operator()<1>();
}

template <class Executor>
void RunLifForward(const Executor& executor, const LifForwardPass& pass) {
  RunOverTime<LifForwardBody>(executor, pass);
}

template <class Executor>
void RunLifBackward(const Executor& executor, const LifBackwardPass& pass) {
  RunOverTime<LifBackwardBody>(executor, pass);
}

/// Runs body<V> over the lanes of all pictures: `make` gives the body.
template <class Executor, class Make>
void RunOverPictures(const Executor& executor, const Lanes& lanes, int64_t pictures,
                     const Make& make) {
  if (lanes.wide()) {
    RunEach(executor, make.template operator()<4>(), pictures * (lanes.width() / 4));
  } else {
    RunEach(executor, make.template operator()<1>(), pictures * lanes.width());
  }
}

inline Lanes LanesOf(const NormShape& shape) { return Lanes(shape.pixels, shape.channels); }

inline int64_t ChannelBlocks(const NormShape& shape) {
  return (shape.channels + ChannelRows::kChannels - 1) / ChannelRows::kChannels;
}

inline int64_t Gates(const NormState& s) {
  if (s.gate_reduce == GateReduce::kChannel) return s.shape.pictures() * s.shape.channels;
  return s.gate_reduce == GateReduce::kStep ? s.shape.steps : s.shape.pictures();
}

template <class Executor>
void RunGate(const Executor& executor, const NormForwardPass& pass) {
  const NormState& s = pass.state;
  if (s.gate_reduce == GateReduce::kNone) return;
  if (s.gate_reduce == GateReduce::kChannel) {
    RunEach(executor, ChannelGateBody{s}, Gates(s));
  } else {
    executor.Run(GateBody{pass}, Gates(s), kThreads);
  }
  if (pass.gate_sum != nullptr) {
    executor.Run(GateSumBody{s.gate, Gates(s), pass.gate_sum}, 1, kRowThreads);
  }
}

template <class Executor>
void RunNormForward(const Executor& executor, const NormForwardPass& pass) {
  const NormState& s = pass.state;
  const int64_t pictures = s.shape.pictures(), entries = pictures * s.shape.channels;
  if (s.sum != nullptr) {
    const Lanes lanes = LanesOf(s.shape);
    RunOverPictures(executor, lanes, pictures, [&]<int V>() {
      return MomentsBody<V>{lanes, pictures, pass.x, pass.partial};
    });
    RunEach(executor, FoldMomentsBody{lanes, pictures, pass.partial, s.sum, pass.square}, entries);
  }
  if (pass.training) {
    executor.Run(StatisticsBody{pass}, ChannelBlocks(s.shape), kRowThreads);
  } else {
    RunEach(executor, RunningStatisticsBody{pass}, s.shape.channels);
  }
  RunGate(executor, pass);
  RunEach(executor, CoefficientsBody{pass}, entries);
}

template <class Executor>
void RunAffine(const Executor& executor, const AffinePass& pass) {
  const Lanes lanes = LanesOf(pass.shape);
  const int64_t pictures = pass.shape.pictures();
  RunOverPictures(executor, lanes, pictures, [&]<int V>() {
    return AffineBody<V>{lanes, pictures, pass};
  });
}

template <class Executor>
void RunDeltaSums(const Executor& executor, const DeltaSumsPass& pass) {
  const Lanes lanes = LanesOf(pass.shape);
  const int64_t pictures = pass.shape.pictures();
  RunOverPictures(executor, lanes, pictures, [&]<int V>() {
    return DeltaSumsBody<V>{lanes, pictures, pass};
  });
}

template <class Executor>
void RunGateBackward(const Executor& executor, const NormBackwardPass& pass) {
  const NormState& s = pass.state;
  if (s.gate_reduce == GateReduce::kNone) return;
  if (s.gate_reduce == GateReduce::kChannel) {
    RunEach(executor, ChannelEnergyGradientBody{pass}, Gates(s));
  } else {
    executor.Run(EnergyGradientBody{pass}, Gates(s), kThreads);
  }
  if (pass.grad_alpha == nullptr) return;
  if (s.alpha_per_channel) {
    RunEach(executor, ChannelAlphaGradientBody{pass}, s.shape.steps * s.shape.channels);
  } else {
    executor.Run(AlphaGradientBody{pass}, s.shape.steps, kThreads);
  }
}

template <class Executor>
void RunNormBackward(const Executor& executor, const NormBackwardPass& pass) {
  const NormShape& shape = pass.state.shape;
  const int64_t pictures = shape.pictures(), entries = pictures * shape.channels;
  RunEach(executor, FoldSumsBody{entries, shape.channels, pass.strips, pass.partial, pass.sums},
          entries);
  RunGateBackward(executor, pass);
  executor.Run(ChannelGradientBody{pass}, ChannelBlocks(shape), kRowThreads);
  RunEach(executor, BackwardCoefficientsBody{pass}, entries);
  const Lanes lanes = LanesOf(shape);
  RunOverPictures(executor, lanes, pictures, [&]<int V>() {
    return AffineBackwardBody<V>{lanes,      pictures,   pass.delta,        pass.x,     pass.scale,
                                 pass.shift, pass.slope, pass.state.center, pass.grad_x};
  });
}

template <class Executor>
void RunSplit(const Executor& executor, const SplitPass& pass) {
  if (pass.count % 4 == 0) return RunEach(executor, SplitBody<4>{pass}, pass.count / 4);
  RunEach(executor, SplitBody<1>{pass}, pass.count);
}

template <class Executor>
void RunBinarize(const Executor& executor, const BinarizePass& pass) {
  executor.Run(BinarizeBody{pass}, pass.channels, kThreads);
}

template <class Executor>
void RunBinarizeBackward(const Executor& executor, const BinarizePass& pass) {
  executor.Run(BinarizeBackwardBody{pass}, pass.channels, kThreads);
}

template <class Executor>
void RunFlips(const Executor& executor, const FlipPass& pass) {
  if (pass.count == 0) return;
  if (pass.kind == BinarizeKind::kStandardized) {
    executor.Run(CenterBody{pass}, (pass.count + pass.fan_in - 1) / pass.fan_in, kThreads);
  }
  RunEach(executor, FlipBody{pass}, (pass.count + 63) / 64);
}

template <class Executor>
void RunMoments(const Executor& executor, const MomentsPass& pass) {
  executor.Run(PartialSquaresBody{pass}, kMomentBlocks, kThreads);
  executor.Run(TotalSquaresBody{pass}, 1, static_cast<int>(kMomentBlocks));
}

}  // namespace bsnn::trainer::cuda
