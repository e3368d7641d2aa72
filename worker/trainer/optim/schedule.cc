#include "worker/trainer/optim/schedule.h"

#include <algorithm>
#include <cmath>

namespace bsnn::trainer {

double LearningRate(const spec::JobSpec& spec, const RunLength& run, int64_t step) {
  constexpr double kPi = 3.141592653589793;
  const double base = spec.optimizer.learning_rate;
  const int64_t warmup = int64_t{spec.schedule.warmup_epochs} * run.steps_per_epoch;
  if (step < warmup) return base * static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (spec.schedule.name == spec::ScheduleName::kConstant) return base;
  if (spec.schedule.name == spec::ScheduleName::kStep) {
    const int64_t falls = (step - warmup) / run.steps_per_epoch / spec.schedule.step_epochs;
    return base * std::pow(spec.schedule.step_factor, static_cast<double>(falls));
  }
  const int64_t total = std::max<int64_t>(1, run.steps_per_epoch * run.epochs - warmup);
  const double done =
      std::clamp(static_cast<double>(step - warmup) / static_cast<double>(total), 0.0, 1.0);
  return base * 0.5 * (1.0 + std::cos(kPi * done));
}

}  // namespace bsnn::trainer
