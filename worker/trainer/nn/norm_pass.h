/// What the passes of a normalisation over CPU memory share: NormGateFire and FireConvNorm. Private
/// to nn/. Sizes: N = T*B pictures, C channels. What is normalised is float32, or int16 in units of
/// the channel: half of what goes through memory, where it is a whole number in such units.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "worker/trainer/nn/batch_norm.h"
#include "worker/trainer/nn/kernels/norm_gate.h"

namespace bsnn::trainer {

/// What the forward pass leaves for the backward pass, besides tensors.
struct NormState {
  kernels::NormGateSaved saved;
  bool energy_is_fixed = false;
  Ranks* ranks = nullptr;   ///< whose statistics were taken together
  std::vector<float> unit;  ///< [C] of an int16 x; empty: x is float32
};

/// For a normalisation of [N, C, H, W]; nothing taken yet.
NormState MakeNormState(at::IntArrayRef sizes, const NormCall& call);

/// Whether TakeStatistics wants kernels::PictureMoments of what is normalised.
bool WantsMoments(const NormCall& call);

/// Moments of an int16 x, [N, C], from numbers of its units to what they stand for.
void ApplyUnit(const NormState& state, std::vector<double>& sum, std::vector<double>& square);

/// Fills state.saved from the pictures' moments (state.saved.sum and `square`, [N, C], where they
/// are wanted) and the parameters; moves the running statistics in training.
void TakeStatistics(const BatchNorm& norm, const NormCall& call, const std::vector<double>& square,
                    NormState& state);

/// Normalisation and gate as one affine map of each picture's channel.
struct NormMap {
  std::vector<float> scale, shift;  ///< [N, C]
};
/// Fills the gate's part of state.saved; moves the gate's running mean and counts, as `call` says.
NormMap MakeNormMap(const NormCall& call, NormState& state);
/// The map of x, and the residual where it is defined: one picture of it for each of x, or for each
/// of a time step.
at::Tensor ApplyNormMap(const at::Tensor& x, const NormState& state, const NormMap& map,
                        const at::Tensor& residual);

/// kernels::RunDeltaSums of all pictures, in x's own values: grad and x are channels-last,
/// sum_delta and sum_delta_x [N, C].
void TakeDeltaSums(const at::Tensor& grad, const at::Tensor& x, const NormState& state,
                   const std::vector<float>& center, std::vector<double>& sum_delta,
                   std::vector<double>& sum_delta_x);

/// kernels::NormGateBackward, over the ranks where they took their statistics together; its slope
/// is of x in its units.
kernels::NormGateGradients RunNormBackward(const NormState& state, const double* sum_delta,
                                           const double* sum_delta_x);

/// state.saved.mean in float32, in x's units: the center that the passes' sums are taken around.
std::vector<float> CenterOf(const NormState& state);
at::Tensor GradientOf(const at::Tensor& parameter, const std::vector<double>& values);

}  // namespace bsnn::trainer
