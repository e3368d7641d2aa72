#include "worker/trainer/nn/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>

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

}  // namespace

at::Tensor CrossEntropyOfMean(const at::Tensor& logits, const at::Tensor& labels) {
  Check(logits, labels);
  return at::nll_loss(at::log_softmax(logits.mean(0), 1), labels);
}

at::Tensor TetLoss(const at::Tensor& logits, const at::Tensor& labels, double lambda, double phi) {
  Check(logits, labels);
  const at::Tensor flat = logits.flatten(0, 1);
  const at::Tensor entropy =
      at::nll_loss(at::log_softmax(flat, 1), labels.repeat({logits.size(0)}));
  if (lambda == 0) return entropy;
  return entropy * (1 - lambda) + (logits - phi).square().mean() * lambda;
}

at::Tensor Loss(const spec::LossSpec& spec, const at::Tensor& logits, const at::Tensor& labels) {
  if (spec.name == spec::LossName::kTet) {
    return TetLoss(logits, labels, spec.tet_lambda, spec.tet_phi);
  }
  return CrossEntropyOfMean(logits, labels);
}

at::Tensor CountCorrect(const at::Tensor& logits, const at::Tensor& labels) {
  Check(logits, labels);
  return logits.detach().mean(0).argmax(1).eq(labels).sum();
}

}  // namespace bsnn::trainer
