/// Labelled pictures, wherever they lie: in memory, or read when asked for.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/data/input_shape.h"

namespace bsnn::trainer {

/// How training pictures are changed in one epoch.
struct EpochAugmentation {
  spec::AugmentationSpec spec;
  int64_t seed = 0;
  int64_t epoch = 0;  ///< 0-based
};

/// Immutable; any number of threads may read at once.
class Dataset {
 public:
  Dataset(const InputShape& shape, std::vector<int32_t> labels)
      : shape_(shape), labels_(std::move(labels)) {}
  virtual ~Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  const InputShape& shape() const { return shape_; }
  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  /// One a picture, below shape().classes.
  const std::vector<int32_t>& labels() const { return labels_; }

  /// Writes picture `index` to `out`, [C, H, W] row-major, or [frames, C, H, W]: (pixel / 255 -
  /// mean) / deviation by channel. With `change`, as that epoch's training sees it: decided by
  /// `change` and `index` alone. Errors are of files, and name them; Loader gives them the reason
  /// DATA_UNAVAILABLE.
  virtual absl::Status Read(int64_t index, const EpochAugmentation* change,
                            std::span<float> out) const = 0;

 private:
  InputShape shape_;
  std::vector<int32_t> labels_;
};

enum class Split { kTrain, kTest };

inline constexpr std::string_view kDataUnavailableReason = "DATA_UNAVAILABLE";

/// `status` with the reason DATA_UNAVAILABLE where it says that files are missing or damaged: so it
/// is told from a fault of the specification, which no other machine would mend.
absl::Status DataUnavailable(absl::Status status);

/// What pictures of the set that `spec` names are like. Looks into `folder` only where the set's
/// files decide it.
absl::StatusOr<InputShape> ShapeOf(const spec::JobSpec& spec, const std::filesystem::path& folder);

/// " split=first_90" for a set that is published without a split, else "". Accuracies of different
/// splits do not compare, so every report says this.
std::string SplitText(const spec::DataSpec& spec);

/// Opens the data set that `spec` names in `folder`, or in `folder`/<name>; recordings are cut into
/// network.time_steps frames (events/event_frames.h). NotFound naming the
/// file that is missing; DataLoss with path and offset for a file that is not what it should be;
/// both with the reason DATA_UNAVAILABLE.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const spec::JobSpec& spec,
                                                     const std::filesystem::path& folder,
                                                     Split split);

}  // namespace bsnn::trainer
