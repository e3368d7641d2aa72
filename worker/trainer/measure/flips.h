/// How often binary weights change their sign: by packed snapshots, XOR and popcount.
///
/// Source: the flip ratio pi_e is the paper's (science.md §2.1 A2); counts by step and the share
/// that flipped at least once are ours (§6): an epoch snapshot misses an even number of flips.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/trainer/nn/named_tensor.h"
#include "worker/trainer/nn/weight_layer.h"

namespace bsnn::trainer {

struct LayerFlips {
  std::string layer;  ///< "all" pools the layers
  int64_t weights = 0;
  int64_t epoch_flips = 0;       ///< signs that differ from the epoch's start
  int64_t step_flips_total = 0;  ///< flips counted at steps, since the run's start
  double flips_per_step = 0;     ///< mean over the epoch's steps; NaN before the first
  int64_t flipped_weights =
      0;  ///< weights that flipped at a step at least once since the run's start

  double FlipRatio() const { return Share(epoch_flips); }  ///< pi of the epoch
  double FlippedWeightsRatio() const { return Share(flipped_weights); }

 private:
  double Share(int64_t part) const {
    return weights == 0 ? 0 : static_cast<double>(part) / static_cast<double>(weights);
  }
};

/// Counts flips of a network's weight layers. Confined to the thread that trains.
class FlipMeter {
 public:
  /// The run's start: the signs as they are now. Takes Network::weight_layers(), whose tensors it
  /// shares.
  explicit FlipMeter(std::vector<WeightLayer> layers);

  /// After each optimiser step: compares with the step before, on the weights' device.
  void ObserveStep();

  /// The counts now: one entry a layer and, last, "all" (absent if there is no layer).
  /// Reads what the last ObserveStep or constructor saw.
  std::vector<LayerFlips> Counts() const;

  /// The signs now are the start of the next epoch. Call after Counts() at an epoch's end.
  void StartEpoch();

  /// "<layer>.signs", ".epoch_signs", ".flipped" (int64 [words]), ".step_flips" (int64 [1]),
  /// ".epoch_step_flips" (int64 [2]).
  /// Shares memory with the meter.
  NamedTensors State() const;

 private:
  struct Counter {                // on the weights' device
    at::Tensor signs;             ///< int64 [words], at the last step
    at::Tensor epoch_signs;       ///< at the epoch's start
    at::Tensor flipped;           ///< bit set: flipped at least once
    at::Tensor step_flips;        ///< int64 [1]
    at::Tensor epoch_step_flips;  ///< int64 [2], on the CPU: step_flips at the epoch's start; steps
  };
  const std::vector<WeightLayer> layers_;
  std::vector<Counter> counters_;
  std::vector<uint64_t> scratch_;
};

/// Share of weights whose sign differs (sign(0) is +1). `before` and `after` have one shape,
/// float32.
double FlipRatio(const at::Tensor& before, const at::Tensor& after);

}  // namespace bsnn::trainer
