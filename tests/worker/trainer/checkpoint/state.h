/// A small training state with a tensor of each type that checkpoints hold.
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include "worker/trainer/checkpoint/checkpoint.h"

namespace bsnn::test {

inline trainer::TrainingState SmallState(double value) {
  return {.model = {{"conv2.weight", at::arange(54, at::kFloat).view({2, 3, 3, 3}).mul(value)},
                    {"conv2.bn.bias", at::full({2}, value, at::kFloat)}},
          .training = {{"cursor", at::full({2}, 7, at::kLong)},
                       {"sums", at::full({3}, value / 3, at::kDouble)},
                       {"bits", at::full({5}, 9, at::kByte)}}};
}

}  // namespace bsnn::test
