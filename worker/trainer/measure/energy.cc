#include "worker/trainer/measure/energy.h"

namespace bsnn::trainer {

std::vector<LayerEnergy> EstimateEnergy(const std::vector<LayerDescription>& layers,
                                        const std::vector<double>& input_means,
                                        int64_t time_steps) {
  std::vector<LayerEnergy> energies;
  LayerEnergy all{.layer = "all"};
  const auto steps = static_cast<double>(time_steps);
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerDescription& layer = layers[i];
    LayerEnergy energy{.layer = layer.name};
    energy.multiply_accumulates = static_cast<double>(layer.gated_values) * steps;
    const auto operations = static_cast<double>(layer.operations);
    if (layer.spikes_per_unit == 0) {
      energy.multiply_accumulates += operations * static_cast<double>(layer.repetitions);
    } else if (i < input_means.size()) {
      energy.accumulates =
          operations * steps * input_means[i] * static_cast<double>(layer.spikes_per_unit);
    }
    const double multiplications = kMultiplyAccumulateJoules * energy.multiply_accumulates;
    energy.joules = multiplications + kAccumulateJoules * energy.accumulates;
    energy.int_add_joules =
        multiplications +
        (layer.binary ? kIntegerAddJoules : kAccumulateJoules) * energy.accumulates;
    all.multiply_accumulates += energy.multiply_accumulates;
    all.accumulates += energy.accumulates;
    all.joules += energy.joules;
    all.int_add_joules += energy.int_add_joules;
    energies.push_back(std::move(energy));
  }
  if (!energies.empty()) energies.push_back(std::move(all));
  return energies;
}

}  // namespace bsnn::trainer
