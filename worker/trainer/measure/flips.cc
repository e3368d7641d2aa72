#include "worker/trainer/measure/flips.h"

#include <ATen/ops/zeros.h>

#include <bit>

#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/kernels/binarize.h"

namespace bsnn::trainer {
namespace {

/// Words are kept as int64, the widest integer that checkpoints carry everywhere.
std::span<uint64_t> Words(const at::Tensor& tensor) {
  return {reinterpret_cast<uint64_t*>(tensor.mutable_data_ptr<int64_t>()),
          static_cast<size_t>(tensor.numel())};
}

int64_t CountBits(std::span<const uint64_t> words) {
  int64_t bits = 0;
  for (const uint64_t word : words) bits += std::popcount(word);
  return bits;
}

int64_t CountDifferences(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  int64_t bits = 0;
  for (size_t i = 0; i < a.size(); ++i) bits += std::popcount(a[i] ^ b[i]);
  return bits;
}

}  // namespace

FlipMeter::FlipMeter(std::vector<WeightLayer> layers) : layers_(std::move(layers)) {
  for (const WeightLayer& layer : layers_) {
    const auto zeros = [&](int64_t count) {
      return at::zeros({count}, layer.latent.options().dtype(at::kLong).requires_grad(false));
    };
    Counter counter{zeros(layer.words()), zeros(layer.words()), zeros(layer.words()), zeros(1),
                    at::zeros({2}, at::kLong)};
    if (layer.latent.is_cuda()) {
      cuda::PackSigns(layer.latent, layer.binarization, counter.signs, {}, {});
    } else {
      PackSigns(layer, Words(counter.signs));
      scratch_.resize(std::max(scratch_.size(), static_cast<size_t>(layer.words())));
    }
    counter.epoch_signs.copy_(counter.signs);
    counters_.push_back(std::move(counter));
  }
}

void FlipMeter::ObserveStep() {
  for (size_t i = 0; i < layers_.size(); ++i) {
    ++counters_[i].epoch_step_flips.mutable_data_ptr<int64_t>()[1];
    if (layers_[i].latent.is_cuda()) {
      const Counter& counter = counters_[i];
      cuda::PackSigns(layers_[i].latent, layers_[i].binarization, counter.signs, counter.flipped,
                      counter.step_flips);
      continue;
    }
    const std::span<uint64_t> now(scratch_.data(), static_cast<size_t>(layers_[i].words()));
    const std::span<uint64_t> before = Words(counters_[i].signs);
    const std::span<uint64_t> flipped = Words(counters_[i].flipped);
    PackSigns(layers_[i], now);
    *counters_[i].step_flips.mutable_data_ptr<int64_t>() +=
        kernels::NoteFlips(now.data(), layers_[i].words(), before.data(), flipped.data());
  }
}

std::vector<LayerFlips> FlipMeter::Counts() const {
  std::vector<LayerFlips> counts;
  LayerFlips all{.layer = "all"};
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Counter counter = {counters_[i].signs.cpu(), counters_[i].epoch_signs.cpu(),
                             counters_[i].flipped.cpu(), counters_[i].step_flips.cpu(),
                             counters_[i].epoch_step_flips};
    const int64_t* const epoch = counter.epoch_step_flips.const_data_ptr<int64_t>();
    const int64_t total = *counter.step_flips.const_data_ptr<int64_t>();
    LayerFlips flips{
        .layer = layers_[i].name,
        .weights = layers_[i].weights(),
        .epoch_flips = CountDifferences(Words(counter.signs), Words(counter.epoch_signs)),
        .step_flips_total = total,
        .flips_per_step = static_cast<double>(total - epoch[0]) / static_cast<double>(epoch[1]),
        .flipped_weights = CountBits(Words(counter.flipped))};
    all.weights += flips.weights;
    all.epoch_flips += flips.epoch_flips;
    all.step_flips_total += flips.step_flips_total;
    all.flips_per_step += flips.flips_per_step;
    all.flipped_weights += flips.flipped_weights;
    counts.push_back(std::move(flips));
  }
  if (!counts.empty()) counts.push_back(std::move(all));
  return counts;
}

void FlipMeter::StartEpoch() {
  for (Counter& counter : counters_) {
    counter.epoch_signs.copy_(counter.signs);
    counter.epoch_step_flips[0].copy_(counter.step_flips[0]);
    counter.epoch_step_flips[1].zero_();
  }
}

NamedTensors FlipMeter::State() const {
  NamedTensors state;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string& name = layers_[i].name;
    state.push_back({name + ".signs", counters_[i].signs});
    state.push_back({name + ".epoch_signs", counters_[i].epoch_signs});
    state.push_back({name + ".flipped", counters_[i].flipped});
    state.push_back({name + ".step_flips", counters_[i].step_flips});
    state.push_back({name + ".epoch_step_flips", counters_[i].epoch_step_flips});
  }
  return state;
}

double FlipRatio(const at::Tensor& before, const at::Tensor& after) {
  TORCH_CHECK(before.sizes() == after.sizes(), "FlipRatio: shapes are ", before.sizes(), " and ",
              after.sizes(), "; allowed: equal");
  const WeightLayer first{"before", before, std::nullopt}, second{"after", after, std::nullopt};
  std::vector<uint64_t> a(first.words()), b(second.words());
  PackSigns(first, a);
  PackSigns(second, b);
  if (before.numel() == 0) return 0;
  return static_cast<double>(CountDifferences(a, b)) / static_cast<double>(before.numel());
}

}  // namespace bsnn::trainer
