/// A generated data set, for machines without network: ten classes of moving, noisy strokes.
#pragma once

#include "worker/trainer/data/dataset.h"

namespace bsnn::trainer {

/// `size` pictures of 28x28 with labels 0 to 9, the same for the same `size` prefix and split. Each
/// class is a figure of three strokes, drawn with random shift, slant, width, contrast and pixel
/// noise: learnable, but not by a look at single pixels. Ours.
Dataset GenerateDataset(int64_t size, Split split);

}  // namespace bsnn::trainer
