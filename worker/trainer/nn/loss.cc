#include "worker/trainer/nn/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

namespace bsnn::trainer {
namespace {

void Check(const at::Tensor& logits, const at::Tensor& labels) {
  TORCH_CHECK(logits.dim() == 3 && logits.scalar_type() == at::kFloat, "loss: logits are ",
              logits.sizes(), " ", logits.scalar_type(), "; allowed: [T, N, K] float32");
  TORCH_CHECK(
      labels.dim() == 1 && labels.scalar_type() == at::kLong && labels.size(0) == logits.size(1),
      "loss: labels are ", labels.sizes(), " ", labels.scalar_type(),
      "; allowed: [N] int64, N = ", logits.size(1));
}

/// Of logits [N, K].
at::Tensor Entropy(const at::Tensor& logits, const at::Tensor& labels, double smoothing) {
  const at::Tensor log_probability = at::log_softmax(logits, 1);
  const at::Tensor entropy = at::nll_loss(log_probability, labels);
  if (smoothing == 0) return entropy;
  return entropy * (1 - smoothing) - log_probability.mean() * smoothing;
}

}  // namespace

at::Tensor CrossEntropyOfMean(const at::Tensor& logits, const at::Tensor& labels,
                              double smoothing) {
  Check(logits, labels);
  return Entropy(logits.mean(0), labels, smoothing);
}

at::Tensor TetLoss(const at::Tensor& logits, const at::Tensor& labels, double lambda, double phi,
                   double smoothing) {
  Check(logits, labels);
  const at::Tensor entropy =
      Entropy(logits.flatten(0, 1), labels.repeat({logits.size(0)}), smoothing);
  if (lambda == 0) return entropy;
  return entropy * (1 - lambda) + (logits - phi).square().mean() * lambda;
}

at::Tensor Loss(const spec::LossSpec& spec, const at::Tensor& logits, const at::Tensor& labels) {
  if (spec.name == spec::LossName::kTet) {
    return TetLoss(logits, labels, spec.tet_lambda, spec.tet_phi, spec.label_smoothing);
  }
  return CrossEntropyOfMean(logits, labels, spec.label_smoothing);
}

at::Tensor FiringRateTerm(const std::vector<at::Tensor>& rates, double target) {
  if (rates.size() < 3) return at::zeros({}, at::kFloat);
  at::Tensor sum;
  for (size_t i = 1; i + 1 < rates.size(); ++i) {
    const at::Tensor square = (rates[i] - target).square();
    sum = sum.defined() ? sum + square : square;
  }
  return sum / static_cast<double>(rates.size() - 2);
}

at::Tensor CorrectSums(const at::Tensor& logits, const at::Tensor& labels) {
  Check(logits, labels);
  const at::Tensor mean = logits.detach().mean(0);
  const at::Tensor label = labels.unsqueeze(1);
  const at::Tensor own = mean.gather(1, label);
  const at::Tensor classes = at::arange(mean.size(1), label.options());
  // A comparison with a NaN is false: it comes before every number, and nothing comes behind it.
  const at::Tensor behind = mean.lt(own).logical_or_(mean.eq(own).logical_and_(classes.ge(label)));
  const at::Tensor before = behind.logical_not().sum(1);
  return at::stack({before.eq(0).sum(), before.lt(5).logical_and_(own.eq(own).squeeze(1)).sum()});
}

CorrectCounts CountCorrect(const at::Tensor& logits, const at::Tensor& labels) {
  const at::Tensor sums = CorrectSums(logits, labels).cpu();
  const int64_t* const counts = sums.const_data_ptr<int64_t>();
  return {.top1 = counts[0], .top5 = counts[1]};
}

}  // namespace bsnn::trainer
