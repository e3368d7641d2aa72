/// The leaky integrate-and-fire neuron over all time steps.
#pragma once

#include <ATen/core/Tensor.h>

#include "spec/job_spec.h"

namespace bsnn::trainer {

struct LifOptions {
  spec::NeuronSpec neuron;
  int64_t steps = 1;        ///< T
  bool same_input = false;  ///< x is [B, C, H, W]: the same input at each time step
  bool pool = false;        ///< the spikes leave through MaxPool2 (conv.h); H, W >= 2
};

/// u[t] = decay v[t-1] + x[t];  s[t] = 1 where u[t] > threshold (strictly), else 0;
/// hard reset: v[t] = (1 - s[t]) u[t]; soft: v[t] = u[t] - s[t] threshold;  v[-1] = 0.
///
/// x            [T*B, C, H, W] float32, time outermost; or [B, C, H, W], see same_input. Unit: the
///              threshold's. Fast in channels-last memory on the CPU, right in any and on any
///              device.
/// spike_count  int64 [2, T] on x's device, to whose rows the spikes and the neurons' number are
///              added; or undefined.
/// Returns spikes [T*B, C, H, W] float32, 0 or 1, channels-last; pooled where `pool`.
/// Gradient: ds/du is replaced by the surrogate (kernels/lif.h); unless detach_reset, it also flows
/// through the reset. Throws c10::Error if the shape or dtype is another.
/// Source: science.md §1.1 (the sister projects' neuron); soft reset and the other surrogates:
/// §4.4.
at::Tensor Lif(const at::Tensor& x, const LifOptions& options, const at::Tensor& spike_count = {});

/// The same two passes in plain ATen and without pooling, for other devices and as truth in tests.
struct LifResult {
  at::Tensor spikes;     ///< [T*B, C, H, W]
  at::Tensor potential;  ///< u, the same shape
};
LifResult LifForwardPlain(const at::Tensor& x, const LifOptions& options);
/// dL/dx in x's shape.
at::Tensor LifBackwardPlain(const at::Tensor& grad_spikes, const at::Tensor& potential,
                            const LifOptions& options);

}  // namespace bsnn::trainer
