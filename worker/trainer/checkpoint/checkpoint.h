/// Training state to checkpoint folders and back. docs/checkpoint-format.md has the layout.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "artifact/checkpoint_folder.h"
#include "spec/job_spec.h"
#include "worker/trainer/checkpoint/pack.h"
#include "worker/trainer/nn/named_tensor.h"

namespace bsnn::trainer {

inline constexpr char kModelFile[] = "model.safetensors";

/// What a checkpoint holds; the tensors are live views, copied on writing.
struct TrainingState {
  NamedTensors model;     ///< Network::State(): enough for inference
  NamedTensors training;  ///< optimiser, meters, cursor: what a resumed run needs besides
  PackRules packing;      ///< of the model; the packed file stands where weights are binary
};

/// Writes `folder`/step-<step>, durably, replacing one of the same step.
absl::StatusOr<artifact::VerifiedCheckpoint> SaveCheckpoint(const std::filesystem::path& folder,
                                                            const spec::JobSpec& spec,
                                                            const TrainingState& state,
                                                            const CheckpointFacts& facts);

/// The bytes of a safetensors file: float32, float64, int64 or uint8, on any device.
absl::Status WriteTensors(const NamedTensors& tensors,
                          const std::map<std::string, std::string>& metadata,
                          const artifact::ByteSink& sink);

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
