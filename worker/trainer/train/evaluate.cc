#include "worker/trainer/train/evaluate.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/argmax.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "worker/trainer/nn/loss.h"

namespace bsnn::trainer {

std::optional<Evaluation> Evaluate(Network& network, at::Device device, const Dataset& data,
                                   int64_t batch_size, const std::function<bool()>& stop) {
  const c10::InferenceMode no_gradients;
  const bool was_training = network.training();
  network.SetTraining(false);
  std::vector<int64_t> order(static_cast<size_t>(data.size()));
  std::iota(order.begin(), order.end(), 0);
  Evaluation result;
  bool stopped = false;
  for (int64_t first = 0; first < data.size() && !stopped; first += batch_size) {
    const int64_t last = std::min(first + batch_size, data.size());
    const Batch batch = MakeBatch(data, order, first, last);
    const at::Tensor labels = batch.labels.to(device);
    const at::Tensor logits = network.Forward(batch.images.to(device));
    result.loss +=
        CrossEntropyOfMean(logits, labels).item<double>() * static_cast<double>(last - first);
    const at::Tensor classes = logits.mean(0).argmax(1).cpu().contiguous();
    for (int64_t i = 0; i < last - first; ++i) {
      const auto predicted = static_cast<uint8_t>(classes.data_ptr<int64_t>()[i]);
      result.predictions.push_back(predicted);
      result.correct += predicted == data.labels[static_cast<size_t>(first + i)];
    }
    result.pictures += last - first;
    stopped = stop();
  }
  network.SetTraining(was_training);
  if (stopped && result.pictures < data.size()) return std::nullopt;
  result.loss /= static_cast<double>(std::max<int64_t>(1, result.pictures));
  return result;
}

}  // namespace bsnn::trainer
