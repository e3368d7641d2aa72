/// A block of a Bi-Real network as one function.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/trainer/nn/batch_norm.h"
#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/neuron.h"

namespace bsnn::trainer {

struct FiredNorm {
  at::Tensor y;  ///< [T*B, O, H', W']
  /// ShortcutPool(x), for another shortcut: its gradient joins the neuron's in one pass. Undefined
  /// where x itself is the residual.
  at::Tensor pooled;
};

/// The mean of each 2x2 window, stride 2. Sizes are rounded up: a window at the edge has what is
/// there. x [N, C, H, W] float32; differentiable. Source: Bi-Real Net, ECCV 2018, its shortcuts.
at::Tensor ShortcutPool(const at::Tensor& x);

/// The neuron's input at all steps, [T*B, C, H, W]: x, T times where it is the same at each.
at::Tensor AtEachStep(const at::Tensor& x, const LifOptions& lif);

/// y = NormGateFire(SpikeConv2d(Lif(x), weight), norm, call), where call.residual is x itself (at
/// each step) or undefined, with the same numbers (dL/dweight in another order of addition).
///
/// On the CPU the spikes are bits only, and each picture passes from the neuron to the
/// convolution's moments while it is in cache; backward, where the shape gives enough of them,
/// parts of the batch pass from the normalisation's gradient to the neuron's in the same way. The
/// order of additions follows from the shape alone, whatever the threads.
///
/// x [T*B, I, H, W] float32, or [B, ...] with lif.same_input, where x must be the residual; lif
/// without pooling; weight, options as in SpikeConv2d; call without neuron. call.spike_count counts
/// the spikes of Lif(x). Differentiable in x, weight and what NormGateFire is differentiable in.
/// Throws c10::Error as the three do. Source: ours.
FiredNorm FireConvNorm(const at::Tensor& x, const at::Tensor& weight, const LifOptions& lif,
                       const ConvOptions& options, const BatchNorm& norm, const NormCall& call);

}  // namespace bsnn::trainer
