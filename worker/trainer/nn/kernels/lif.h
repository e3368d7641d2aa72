/// Leaky integrate-and-fire over all time steps in one pass, forward and backward, with an affine
/// map of the input in front of it. Torch-free: the CPU truth.
///
/// Activations are [T*B, P, C] float32, contiguous: time outermost, then picture, pixel, channel
/// (a [T*B, C, H, W] tensor in channels-last memory, P = H*W). Functions work on the pictures
/// [first, last) of B, so that callers can share the batch between threads; a picture's result does
/// not depend on the share. Thread-safe for disjoint shares.
#pragma once

#include <cstdint>

#include "spec/job_spec.h"

namespace bsnn::trainer::kernels {

struct Activations {
  int64_t steps = 1;     ///< T
  int64_t batch = 1;     ///< B
  int64_t pixels = 1;    ///< P
  int64_t channels = 1;  ///< C
  /// 0, or W with P = H*W: spikes leave, and their gradients come, through 2x2 max pooling with
  /// stride 2, as [T*B, H/2 * W/2, C] (pool.h): the unpooled spikes never reach memory.
  int64_t pooled_width = 0;
};

/// Where spikes go as bits in place of numbers: pictures of [H + 2 padding, W + 2 padding, C] bits,
/// 0 in the padding (BinaryConvShape in binary_conv.h). C is a multiple of 8.
struct SpikeBits {
  uint8_t* data = nullptr;  ///< null: not wanted
  int64_t width = 1;        ///< W
  int64_t padding = 0;
  int64_t row = 0;      ///< bytes of a row, padding included
  int64_t picture = 0;  ///< bytes of a picture, padding included
};

/// u[t] = decay v[t-1] + y[t];  s[t] = 1 if u[t] > threshold else 0;
/// hard reset: v[t] = (1 - s[t]) u[t]; soft: v[t] = u[t] - s[t] threshold;  v[-1] = 0;
/// y = scale[n, c] x + shift[n, c], n = t B + b, or y = x where scale is null.
struct LifForward {
  Activations shape;
  spec::NeuronSpec neuron;
  bool same_input = false;  ///< x, scale and shift are [B, ...]: one input for each time step
  const float* x = nullptr;
  const float* scale = nullptr;    ///< [T*B, C] or null
  const float* shift = nullptr;    ///< [T*B, C] or null
  float* spikes = nullptr;         ///< [T*B, P, C] or pooled, 0 or 1; not looked at with `bits`
  SpikeBits bits;                  ///< instead of `spikes`, without map, pooling and `potential`
  float* potential = nullptr;      ///< u, [T*B, P, C]; null: not wanted
  int64_t* spike_count = nullptr;  ///< [T*B], before pooling; null: not wanted
};
void RunLifForward(const LifForward& args, int64_t first, int64_t last);

/// dL/dy from dL/ds, with ds/du replaced by the surrogate; where asked, also its sums
/// sum_delta[n, c] = sum_p dy and sum_delta_x[n, c] = sum_p dy (x - center[c]).
/// With same_input, dy is [B, P, C] and both sums [B, C]: the sums over time.
struct LifBackward {
  Activations shape;
  spec::NeuronSpec neuron;
  bool same_input = false;
  const float* grad_spikes = nullptr;  ///< [T*B, P, C] or pooled
  /// Where not 0, grad_spikes is [T, part_batch, P, C]: of the pictures from part_first on only.
  int64_t part_batch = 0;
  int64_t part_first = 0;
  const float* potential = nullptr;  ///< u of the forward pass; null: found again from `drive`
  const float* drive = nullptr;      ///< y of the forward pass, as its x: there was no map
  float* grad = nullptr;             ///< dL/dy
  const float* added = nullptr;      ///< [T*B, P, C], added to each step's dy; null: nothing is
  bool added_in_part = false;        ///< `added` is as grad_spikes, else of all pictures
  const float* x = nullptr;          ///< with `center`: null where no sums are wanted
  const float* center = nullptr;     ///< [C]
  double* sum_delta = nullptr;
  double* sum_delta_x = nullptr;
};
void RunLifBackward(const LifBackward& args, int64_t first, int64_t last);

/// The surrogates ds/du at distance d = u - threshold; all have area 1. w is surrogate_width.
///   triangle    max(0, w - |d|) / w^2             (science.md §1.1)
///   rectangle   1/(2w) where |d| < w, else 0      (Wu et al. 2018, eq. 25)
///   sigmoid     w S(wd) (1 - S(wd))               (SpikingJelly's Sigmoid, alpha = w)
///   arctangent  (w/2) / (1 + (pi/2 w d)^2)        (SpikingJelly's ATan, alpha = w)
float SurrogateDerivative(const spec::NeuronSpec& neuron, float distance);

}  // namespace bsnn::trainer::kernels
