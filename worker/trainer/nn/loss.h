/// Losses over the logits of all time steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "spec/job_spec.h"

namespace bsnn::trainer {

/// Cross entropy of the mean of the logits over time, averaged over the batch.
///
/// smoothing  in [0, 1): this share of the target is spread evenly over the K classes (Szegedy et
///            al., CVPR 2016, §7).
/// logits  [T, N, K] float32, any device.   labels  [N] int64, 0 to K-1, same device.
/// Returns a scalar float32 in nats. Differentiable in `logits`.
/// Throws c10::Error if shapes or dtypes differ from the above or a label is out of range.
/// Source: the sister projects' main scripts (science.md §1.7, Bop).
at::Tensor CrossEntropyOfMean(const at::Tensor& logits, const at::Tensor& labels,
                              double smoothing = 0);

/// TET: (1 - lambda) mean_t CE(logits[t]) + lambda mean((logits - phi)^2).
///
/// Shapes, dtypes, gradient and errors as above; lambda in [0, 1], phi in logits' unit.
/// Source: Deng et al., "Temporal Efficient Training", ICLR 2022, eq. 11 and 12, with the constant
/// target phi for all classes (science.md §1.7).
at::Tensor TetLoss(const at::Tensor& logits, const at::Tensor& labels, double lambda, double phi,
                   double smoothing = 0);

/// mean over layers of (rate - target)^2, the first and the last layer left out; 0 where no other
/// is. rates: scalars in [0, 1], one a layer of neurons. Returns a scalar float32; differentiable.
/// Source: Q-SNN's regulariser (science.md §1.7). It pulls against the gate, which lowers rates.
at::Tensor FiringRateTerm(const std::vector<at::Tensor>& rates, double target);

/// The loss that the spec names, without the firing-rate term.
at::Tensor Loss(const spec::LossSpec& spec, const at::Tensor& logits, const at::Tensor& labels);

/// How many pictures of the batch are classified right, by the mean of the logits over time; of
/// equal logits the lower class comes first. A NaN is never right. Shapes, dtypes and errors as
/// above. Returns int64 [2] on the logits' device: right at once; right among the five classes of
/// the largest logits. No gradient.
at::Tensor CorrectSums(const at::Tensor& logits, const at::Tensor& labels);

struct CorrectCounts {
  int64_t top1 = 0;
  int64_t top5 = 0;
};

/// CorrectSums' two numbers. Waits for the device.
CorrectCounts CountCorrect(const at::Tensor& logits, const at::Tensor& labels);

}  // namespace bsnn::trainer
