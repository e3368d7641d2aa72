/// Classifying a data set with a network as it is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "worker/trainer/data/dataset.h"
#include "worker/trainer/model/network.h"

namespace bsnn::trainer {

struct Evaluation {
  int64_t pictures = 0;
  int64_t correct = 0;
  double loss = 0;                   ///< cross entropy of the mean over time, mean over pictures
  std::vector<uint8_t> predictions;  ///< one a picture, in the data set's order

  double accuracy_ratio() const {
    return pictures == 0 ? 0 : static_cast<double>(correct) / static_cast<double>(pictures);
  }
};

/// Runs the network in evaluation mode over the whole set, in order, and puts it back into the mode
/// it had. Nothing where `stop` said to stop between two batches.
std::optional<Evaluation> Evaluate(Network& network, at::Device device, const Dataset& data,
                                   int64_t batch_size, const std::function<bool()>& stop);

}  // namespace bsnn::trainer
