/// A generated data set, for machines without network: ten classes of moving, noisy strokes.
#pragma once

#include "worker/trainer/data/memory_dataset.h"

namespace bsnn::trainer {

/// The first `limit` pictures of the split, 28x28 with labels 0 to 9; 0 is all: 20 000 for
/// training, 4 000 for testing. Each class is a figure of three strokes, drawn with random shift,
/// slant, width, contrast and pixel noise: learnable, but not by a look at single pixels. Ours.
Pictures Generate(Split split, int64_t limit);

}  // namespace bsnn::trainer
