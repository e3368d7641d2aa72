/// Batch normalisation over time, batch and space, fused with the gate, the residual and the
/// neuron.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "spec/job_spec.h"
#include "worker/trainer/nn/agmm.h"

namespace bsnn::trainer {

/// What one normalisation owns; C channels, float32. The tensors are shared with the network.
struct BatchNorm {
  at::Tensor weight;        ///< [C]
  at::Tensor bias;          ///< [C]
  at::Tensor running_mean;  ///< [C]
  at::Tensor running_var;   ///< [C], unbiased
};
inline constexpr double kNormMomentum = 0.1;
inline constexpr double kNormEpsilon = 1e-5;

class Ranks;

struct NormCall {
  int64_t steps = 1;  ///< T
  bool training = true;
  const Gate* gate = nullptr;              ///< none, or a gate behind the normalisation
  std::optional<spec::NeuronSpec> neuron;  ///< none, or a neuron behind both
  bool same_input =
      false;               ///< with a neuron, without a gate: x is [B, C, H, W], the same at each t
  bool pool = false;       ///< with a neuron: its spikes leave through MaxPool2
  at::Tensor residual;     ///< without a neuron: added last, as x in shape; or undefined
  at::Tensor spike_count;  ///< as in Lif
  at::Tensor gate_sum;     ///< as in Agmm
  Ranks* ranks = nullptr;  ///< whose statistics are taken together in training; null: this one's
};

/// Whether the passes below include such a gate: not of |X|, nor by pixel.
bool HasFusedGate(const spec::AgmmSpec& gate);

/// y = weight (x - mean) / sqrt(var + 1e-5) + bias, then gate, then residual or neuron, as asked.
///
/// Training: mean and biased variance of each channel over T, B, H and W (and ranks, on the CPU and
/// where HasFusedGate, else it throws; backward is a collective too); the running statistics
/// move by 0.1 towards them (variance unbiased), as torch's BatchNorm2d on [T*B, C, H, W] does.
/// Evaluation: the running statistics.
///
/// x  [T*B, C, H, W] float32 (or [B, ...], see same_input: statistics as if it were there T times),
///    time outermost, any device. One or two fused passes over channels-last memory each way,
///    except with a gate of |X| or by pixel, which runs in separate passes.
/// Returns [T*B, C, H, W] float32: spikes (pooled, where asked) where there is a neuron.
/// Differentiable in x, weight, bias, alpha and residual; gate and neuron as documented at Agmm and
/// Lif. Throws c10::Error if a shape or dtype is another. Source: Ioffe and Szegedy, ICML 2015;
/// over T*B as in science.md §1.5 (no threshold factor).
at::Tensor NormGateFire(const at::Tensor& x, const BatchNorm& norm, const NormCall& call);

/// The same, in separate ATen operations: for those options, and as truth in tests.
at::Tensor NormGateFirePlain(const at::Tensor& x, const BatchNorm& norm, const NormCall& call);

}  // namespace bsnn::trainer
