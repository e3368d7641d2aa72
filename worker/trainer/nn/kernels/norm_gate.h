/// The small arithmetic between the passes of batch normalisation with a gate: from sums per
/// picture and channel to the coefficients of one affine map per picture and channel, and back.
///
/// The gated normalisation is y = a_c (x - mean_c) + b_c, X' = alpha g y with g = sigmoid(E) and E
/// a mean of y. As y is affine in x, E follows from the pictures' sums, X' is affine in x for each
/// (n, c), and so is the gradient: no extra pass over memory is needed. Ours (science.md §6 and
/// §5.2). Torch-free, float64 inside, in a fixed order. Sizes: N pictures (T*B, time outermost), P
/// pixels, C channels.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "spec/job_spec.h"

namespace bsnn::trainer::kernels {

struct NormGateShape {
  int64_t steps = 1;
  int64_t batch = 1;
  int64_t pixels = 1;
  int64_t channels = 1;
  int64_t pictures() const { return steps * batch; }
};

/// reduce is sample, channel or step (spatial has no coefficient per picture and channel).
struct GateForm {
  bool present = false;
  spec::AgmmReduce reduce = spec::AgmmReduce::kSample;
  bool detach = false;
  bool alpha_per_channel = false;
};

/// mean and biased variance per channel over all pictures, from PictureMoments' results.
void CombineMoments(const NormGateShape& shape, const double* sum, const double* square,
                    double* mean, double* variance);

/// The same over the ranks' pictures, from each rank's count, mean [C] and variance [C], which lie
/// one behind the other in `ranks` [R, 1 + 2 C]. Returns the count. Source: Chan et al. 1979.
double CombineRanks(const double* ranks, int64_t rank_count, int64_t channels, double* mean,
                    double* variance);

/// What the forward pass leaves for the backward pass.
struct NormGateSaved {
  NormGateShape shape;
  GateForm form;
  bool batch_statistics = true;     ///< false: mean and variance were constants (evaluation)
  double count = 0;                 ///< numbers that mean and variance were taken over, per channel
  std::vector<double> mean;         ///< [C]
  std::vector<double> inverse_std;  ///< [C]
  std::vector<double> weight;       ///< [C]
  std::vector<double> bias;         ///< [C]
  std::vector<double> sum;          ///< [N, C] sum_p x; empty where there is no gate
  std::vector<double> alpha;        ///< [T] or [T, C]; empty where there is no gate
  std::vector<double> gate;         ///< [N] sample, [N, C] channel, [T] step, or empty
};

/// Fills `saved.gate` and the coefficients. With reduce = step and `fixed_energy` (E [T], the
/// running mean of evaluation), E is that constant; otherwise `energy` (may be null) gets the
/// batch's E [T]. scale, shift [N, C]: X' = scale x + shift.
void NormGateForward(NormGateSaved& saved, const double* fixed_energy, double* energy, float* scale,
                     float* shift);

struct NormGateGradients {
  std::vector<double> weight;  ///< [C]
  std::vector<double> bias;    ///< [C]
  std::vector<double> alpha;   ///< as saved.alpha
  std::vector<float> scale;    ///< [N, C]: grad_x = scale delta + shift + slope (x - mean)
  std::vector<float> shift;    ///< [N, C]
  std::vector<float> slope;    ///< [C]
};

/// Replaces numbers by their sums over all ranks.
using SumOverRanks = std::function<void(double* values, int64_t count)>;

/// From sum_delta[n, c] = sum_p delta and sum_delta_x[n, c] = sum_p delta (x - mean_c), with delta
/// the gradient of X'. `energy_is_fixed`: E carried no gradient (detached, or fixed in evaluation).
/// `sum_over_ranks`: where the statistics are all ranks'; else empty. The gradients of weight, bias
/// and alpha are this rank's part.
NormGateGradients NormGateBackward(const NormGateSaved& saved, bool energy_is_fixed,
                                   const double* sum_delta, const double* sum_delta_x,
                                   const SumOverRanks& sum_over_ranks = {});

}  // namespace bsnn::trainer::kernels
