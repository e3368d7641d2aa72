/// Labelled pictures in memory, and the order in which an epoch takes them.
#pragma once

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/model/network.h"

namespace bsnn::trainer {

struct Normalization {
  float mean = 0;
  float deviation = 1;
};

/// Pixels as bytes, [N, C, H, W] row-major, and a label each. Immutable once loaded.
struct Dataset {
  InputShape shape;
  std::vector<uint8_t> pixels;
  std::vector<uint8_t> labels;          ///< below shape.classes
  std::vector<Normalization> channels;  ///< one a channel, of pixel / 255 over the training set

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

/// What pictures of the set are like, without reading it.
InputShape ShapeOf(spec::DataName name);

enum class Split { kTrain, kTest };

/// Reads the data set that `spec` names from `folder`, or from `folder`/<name>. NotFound naming the
/// file that is missing; DataLoss with path and offset for a file that is not what it should be.
/// `seed` is used by the generated set only.
absl::StatusOr<Dataset> LoadDataset(const spec::DataSpec& spec, const std::filesystem::path& folder,
                                    Split split);

/// The pictures' order in epoch `epoch` (0-based): a permutation of 0..size-1 drawn from (seed,
/// epoch) alone, so that a resumed run takes the same.
std::vector<int64_t> EpochOrder(int64_t size, int64_t seed, int64_t epoch);

struct Batch {
  at::Tensor images;  ///< [N, C, H, W] float32, (pixel / 255 - mean) / deviation, by channel
  at::Tensor labels;  ///< [N] int64
};

/// How training pictures are changed in one epoch.
struct EpochAugmentation {
  spec::AugmentationSpec spec;
  int64_t seed = 0;
  int64_t epoch = 0;  ///< 0-based
};

/// Entries [first, last) of `order` as one batch, on the CPU; as they are, or changed.
Batch MakeBatch(const Dataset& data, const std::vector<int64_t>& order, int64_t first, int64_t last,
                const std::optional<EpochAugmentation>& augmentation = {});

}  // namespace bsnn::trainer
