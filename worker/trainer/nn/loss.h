/// Losses over the logits of all time steps.
#pragma once

#include <ATen/core/Tensor.h>

#include "spec/job_spec.h"

namespace bsnn::trainer {

/// Cross entropy of the mean of the logits over time, averaged over the batch.
///
/// logits  [T, N, K] float32, any device.   labels  [N] int64, 0 to K-1, same device.
/// Returns a scalar float32 in nats. Differentiable in `logits`.
/// Throws c10::Error if shapes or dtypes differ from the above or a label is out of range.
/// Source: the sister projects' main scripts (science.md §1.7, Bop).
at::Tensor CrossEntropyOfMean(const at::Tensor& logits, const at::Tensor& labels);

/// TET: (1 - lambda) mean_t CE(logits[t]) + lambda mean((logits - phi)^2).
///
/// Shapes, dtypes, gradient and errors as above; lambda in [0, 1], phi in logits' unit.
/// Source: Deng et al., "Temporal Efficient Training", ICLR 2022, eq. 11 and 12, with the constant
/// target phi for all classes (science.md §1.7).
at::Tensor TetLoss(const at::Tensor& logits, const at::Tensor& labels, double lambda, double phi);

/// The loss that the spec names.
at::Tensor Loss(const spec::LossSpec& spec, const at::Tensor& logits, const at::Tensor& labels);

/// How many pictures of the batch are classified right: argmax_k of the mean of the logits over
/// time; of equal logits the lowest class counts. Returns a scalar int64 tensor on logits' device.
at::Tensor CountCorrect(const at::Tensor& logits, const at::Tensor& labels);

}  // namespace bsnn::trainer
