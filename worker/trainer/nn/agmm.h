/// Adaptive gradient modulation: a gate on feature maps, driven by their own mean.
#pragma once

#include <ATen/core/Tensor.h>

#include "spec/job_spec.h"

namespace bsnn::trainer {

/// What one gate owns and counts. The tensors are shared with the network.
struct Gate {
  spec::AgmmSpec spec;
  at::Tensor alpha;           ///< [T] or, with learn_tc, [T, C] float32
  at::Tensor running_energy;  ///< [T] float32, with reduce = step; else undefined
};

/// The running mean of E with reduce = step: r <- (1 - 0.1) r + 0.1 E, from 0, as BN's statistics.
inline constexpr double kEnergyMomentum = 0.1;

struct GateCall {
  int64_t steps = 1;  ///< T
  bool training = true;
  at::Tensor gate_sum;  ///< float64 [2], gets the sum of gates and their number added; or undefined
};

/// X'[t] = alpha[t] sigmoid(E(X[t])) X[t].
///
/// E is the mean of X (or |X|: input) over, by `reduce`: sample (C, H, W), channel (H, W),
/// step (B, C, H, W) or spatial (C).
///
/// x  [T*B, C, H, W] float32, time outermost, any device and memory format; unit: the threshold's.
/// Returns the same shape. Differentiable in x and, unless alpha_mode is fixed, in alpha; with
/// gradient = detach, no gradient flows through sigmoid(E).
/// With reduce = step, training updates gate.running_energy and evaluation uses it in place of E,
/// so that a picture's result does not depend on its batch mates (ours). Throws c10::Error if a
/// shape or dtype is another. Source: the paper's forward gate (science.md §2.1, A4); reductions
/// and options: §6.
at::Tensor Agmm(const at::Tensor& x, const Gate& gate, const GateCall& call);

}  // namespace bsnn::trainer
