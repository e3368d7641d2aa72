/// A trained model as --evaluate and --export find it: a checkpoint's folder or a packed file.
#pragma once

#include <variant>

#include "worker/trainer/checkpoint/checkpoint.h"

namespace bsnn::trainer {

class StoredModel {
 public:
  /// Opens and checks it; a folder's every byte. Errors of VerifyCheckpointFolder or PackedFile,
  /// and of the specification in it.
  static absl::StatusOr<StoredModel> Open(const std::filesystem::path& path);

  const spec::JobSpec& spec() const { return spec_; }
  /// "checkpoint run1/checkpoints/step-00000100 (step 100, digest …)".
  std::string Title() const;
  /// The checkpoint where it is one, else null.
  const artifact::VerifiedCheckpoint* checkpoint() const {
    return std::get_if<artifact::VerifiedCheckpoint>(&stored_);
  }

  /// Copies it into `network`, made for spec(). DataLoss where names or shapes differ.
  absl::Status Restore(Network& network) const;

 private:
  using Stored = std::variant<artifact::VerifiedCheckpoint, artifact::PackedFile>;
  StoredModel(std::filesystem::path path, Stored stored, spec::JobSpec spec)
      : path_(std::move(path)), stored_(std::move(stored)), spec_(std::move(spec)) {}

  std::filesystem::path path_;
  Stored stored_;
  spec::JobSpec spec_;
};

/// The packed file of a checkpoint: the bytes that training wrote beside it. `shape` is of its
/// pictures. FailedPrecondition where `model` is packed already or has no binary weights.
absl::StatusOr<std::string> PackedBytes(const StoredModel& model, const InputShape& shape);

}  // namespace bsnn::trainer
