/// The view of one hidden layer's weights that the measurements take.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "spec/job_spec.h"

namespace bsnn::trainer {

/// A hidden convolution. Its weights are binary, or full-precision where network.kind is snn; their
/// signs are measured either way, since the comparison of the two is what the product shows.
struct WeightLayer {
  std::string name;                                ///< "conv2", "stage1.conv1"
  at::Tensor latent;                               ///< [O, I, k, k] float32, the live parameter
  std::optional<spec::Binarization> binarization;  ///< none: full-precision weights

  int64_t weights() const { return latent.numel(); }
  /// 64-bit words that PackSigns fills.
  int64_t words() const { return (latent.numel() + 63) / 64; }
};

/// Writes the signs that would be deployed now: bit i % 64 of words[i / 64] is 1 where weight i
/// (row-major [O, I, k, k]) is +1, that is latent >= 0, or latent >= its output channel's mean
/// where the binarisation is `standardized`. Unused bits of the last word are 0. `words` has
/// layer.words() entries. The latent weight may be on any device.
void PackSigns(const WeightLayer& layer, std::span<uint64_t> words);

}  // namespace bsnn::trainer
