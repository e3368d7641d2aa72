#include "worker/trainer/train/evaluate.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "base/status.h"
#include "worker/trainer/data/loader.h"
#include "worker/trainer/nn/loss.h"
#include "worker/trainer/train/batch_tensors.h"

namespace bsnn::trainer {

namespace {

void AddRanks(Ranks& ranks, Evaluation& result) {
  const auto number = [](int64_t count) { return static_cast<double>(count); };
  double sums[] = {number(result.pictures), number(result.correct), number(result.correct_top5),
                   result.loss};
  ranks.Sum(at::from_blob(sums, {4}, at::kDouble));
  result.pictures = static_cast<int64_t>(sums[0]);
  result.correct = static_cast<int64_t>(sums[1]);
  result.correct_top5 = static_cast<int64_t>(sums[2]);
  result.loss = sums[3];
}

}  // namespace

absl::StatusOr<Evaluation> Evaluate(Network& network, at::Device device, const Dataset& data,
                                    int64_t batch_size, int loader_threads,
                                    const std::function<bool()>& stop, bool keep_logits,
                                    Ranks* ranks) {
  const c10::InferenceMode no_gradients;
  const bool was_training = network.training();
  network.SetTraining(false);
  batch_size = std::max<int64_t>(1, batch_size / data.shape().frames);  // as much memory
  LoadPlan plan{.batch_size = batch_size};
  if (ranks != nullptr) plan.rank = ranks->rank(), plan.ranks = ranks->size();
  Loader loader(data, plan, loader_threads);
  Evaluation result;
  bool stopped = false;
  for (int64_t first = 0; first < data.size() && !stopped; first += batch_size) {
    ASSIGN_OR_RETURN(Batch batch, loader.Next());
    if (batch.size() == 0) continue;
    const auto [images, labels] = ToTensors(batch, data.shape(), device);
    const at::Tensor logits = network.Forward(TimeOutermost(images));
    result.loss +=
        CrossEntropyOfMean(logits, labels).item<double>() * static_cast<double>(batch.size());
    result.correct_top5 += CountCorrect(logits, labels).top5;
    const at::Tensor mean = logits.mean(0);
    const at::Tensor classes = mean.argmax(1).cpu().contiguous();
    if (keep_logits) result.logits.push_back(mean.cpu());
    for (size_t i = 0; i < batch.labels.size(); ++i) {
      const int64_t predicted = classes.data_ptr<int64_t>()[i];
      result.predictions.push_back(static_cast<int32_t>(predicted));
      result.correct += predicted == batch.labels[i];
    }
    result.pictures += batch.size();
    stopped = stop();
  }
  network.SetTraining(was_training);
  if (ranks != nullptr) AddRanks(*ranks, result);
  if (stopped && result.pictures < data.size()) return absl::CancelledError("stopped on request");
  result.loss /= static_cast<double>(std::max<int64_t>(1, result.pictures));
  return result;
}

}  // namespace bsnn::trainer
