/// Training state to checkpoint folders and back. docs/checkpoint-format.md has the layout.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "artifact/checkpoint_folder.h"
#include "spec/job_spec.h"
#include "worker/trainer/data/dataset.h"
#include "worker/trainer/nn/named_tensor.h"

namespace bsnn::trainer {

/// What a checkpoint holds; the tensors are live views, copied on writing.
struct TrainingState {
  NamedTensors model;     ///< Network::State(): enough for inference
  NamedTensors training;  ///< optimiser, meters, cursor: what a resumed run needs besides
};

struct CheckpointFacts {
  int64_t step = 0;
  int32_t epoch = 0;
  double accuracy_ratio = 0;  ///< NaN where it was not evaluated
};

/// Writes `folder`/step-<step>, durably, replacing one of the same step.
absl::StatusOr<artifact::VerifiedCheckpoint> SaveCheckpoint(const std::filesystem::path& folder,
                                                            const spec::JobSpec& spec,
                                                            const TrainingState& state,
                                                            const CheckpointFacts& facts);

/// The tensors of one file of a checkpoint, copied to the CPU. DataLoss for a file that is not
/// safetensors or holds a dtype that the trainer does not use.
absl::StatusOr<NamedTensors> LoadTensors(const std::filesystem::path& file);

/// The newest checkpoint in `folder` that verifies. Those that do not are moved out of the way
/// (".broken-" before their name) and named in `warnings`. NotFound where there is none.
absl::StatusOr<artifact::VerifiedCheckpoint> FindNewest(const std::filesystem::path& folder,
                                                        std::vector<std::string>& warnings);

/// Copies a verified checkpoint into `state`. FailedPrecondition where its spec differs from `spec`
/// in what is trained; DataLoss where names or shapes do not agree.
absl::Status RestoreCheckpoint(const artifact::VerifiedCheckpoint& checkpoint,
                               const spec::JobSpec& spec, const TrainingState& state);

/// Removes checkpoints beyond the newest keep_latest and the keep_best most accurate.
absl::Status ApplyRetention(const std::filesystem::path& folder, const spec::CheckpointSpec& spec);

}  // namespace bsnn::trainer
