/// Classifying a data set with a network as it is.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "worker/trainer/data/dataset.h"
#include "worker/trainer/dist/ranks.h"
#include "worker/trainer/model/network.h"

namespace bsnn::trainer {

struct Evaluation {
  int64_t pictures = 0;
  int64_t correct = 0;
  int64_t correct_top5 = 0;          ///< pictures whose class is among the five most likely
  double loss = 0;                   ///< cross entropy of the mean over time, mean over pictures
  std::vector<int32_t> predictions;  ///< one a picture, in the data set's order
  std::vector<at::Tensor> logits;    ///< mean over time, [n, K] float32 a batch; if asked for

  double accuracy_ratio() const { return Share(correct); }
  double top5_accuracy_ratio() const { return Share(correct_top5); }

 private:
  double Share(int64_t part) const {
    return pictures == 0 ? 0 : static_cast<double>(part) / static_cast<double>(pictures);
  }
};

/// Runs the network in evaluation mode over the whole set, in order, and puts it back into the mode
/// it had. Pictures are read ahead by `loader_threads`. Cancelled where `stop` said to stop between
/// two batches; errors are of the data's files. With `ranks` each runs its share of each batch: the
/// counts and the loss are of all, predictions and logits of this one; a collective at its end.
absl::StatusOr<Evaluation> Evaluate(Network& network, at::Device device, const Dataset& data,
                                    int64_t batch_size, int loader_threads,
                                    const std::function<bool()>& stop, bool keep_logits = false,
                                    Ranks* ranks = nullptr);

}  // namespace bsnn::trainer
