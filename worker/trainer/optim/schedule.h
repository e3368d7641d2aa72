/// The learning rate as a function of the step: a plain function, so that a resumed run agrees.
#pragma once

#include <cstdint>

#include "spec/job_spec.h"

namespace bsnn::trainer {

struct RunLength {
  int64_t steps_per_epoch = 1;  ///< at least 1
  int64_t epochs = 1;           ///< at least 1
};

/// Learning rate of step `step` (0-based). Linear warm-up over the first schedule.warmup_epochs
/// from base / warm-up steps up to base, then by schedule.name: cosine to 0 at the end of the run,
/// constant, or step: times step_factor each step_epochs. Warm-up and cosine change each step.
/// Source: Loshchilov and Hutter, ICLR 2017, eq. 5 with no restart; the sister projects change it
/// each epoch (science.md §1.7), which in runs of few epochs is too coarse.
double LearningRate(const spec::JobSpec& spec, const RunLength& run, int64_t step);

}  // namespace bsnn::trainer
