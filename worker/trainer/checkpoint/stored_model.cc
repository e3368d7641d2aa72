#include "worker/trainer/checkpoint/stored_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::trainer {
namespace {

std::string CardText(const artifact::PackedFile& file, const std::string& key) {
  const auto found = file.card().find(key);
  return found == file.card().end() ? "?" : base::Shorten(found->second, 64);
}

}  // namespace

absl::StatusOr<StoredModel> StoredModel::Open(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    ASSIGN_OR_RETURN(auto checkpoint, artifact::VerifyCheckpointFolder(path));
    ASSIGN_OR_RETURN(spec::JobSpec spec, spec::ParseJobSpec(checkpoint.manifest.spec));
    return StoredModel(path, std::move(checkpoint), std::move(spec));
  }
  ASSIGN_OR_RETURN(auto file, artifact::PackedFile::Open(path));
  const auto text = file.card().find("spec");
  if (text == file.card().end() || text->second.size() > base::kSpecBytesMax) {
    return absl::DataLossError(
        fmt::format("{}: its metadata has no spec (allowed: at most {} bytes)", path.string(),
                    base::kSpecBytesMax));
  }
  ASSIGN_OR_RETURN(spec::JobSpec spec, spec::ParseJobSpec(text->second));
  return StoredModel(path, std::move(file), std::move(spec));
}

std::string StoredModel::Title() const {
  if (checkpoint() != nullptr) {
    return fmt::format("checkpoint {} (step {}, digest {})", path_.string(),
                       checkpoint()->manifest.step, checkpoint()->digest);
  }
  const auto& file = std::get<artifact::PackedFile>(stored_);
  return fmt::format("packed model {} (step {}, from the model with SHA-256 {})", path_.string(),
                     CardText(file, "step"), CardText(file, kSourceKey));
}

absl::Status StoredModel::Restore(Network& network) const {
  if (checkpoint() == nullptr) {
    return RestorePacked(std::get<artifact::PackedFile>(stored_), path_.string(), network);
  }
  ASSIGN_OR_RETURN(const NamedTensors tensors, LoadTensors(path_ / kModelFile));
  return RestoreState(network.State(), tensors, path_.string());
}

absl::StatusOr<std::string> PackedBytes(const StoredModel& model, const InputShape& shape) {
  const artifact::VerifiedCheckpoint* const checkpoint = model.checkpoint();
  if (checkpoint == nullptr) {
    return absl::FailedPreconditionError(
        fmt::format("a checkpoint's folder can be packed, not a {}", model.Title()));
  }
  ASSIGN_OR_RETURN(const auto network, Network::Make(model.spec(), shape));
  RETURN_IF_ERROR(model.Restore(*network));
  const PackRules rules = PackRulesOf(*network, model.spec());
  if (rules.binary.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("{} has no binary weights: network.kind is snn", checkpoint->path.string()));
  }
  const artifact::Manifest& manifest = checkpoint->manifest;
  const auto source =
      std::find_if(manifest.files.begin(), manifest.files.end(),
                   [](const artifact::ManifestFile& file) { return file.name == kModelFile; });
  BSNN_CHECK(source != manifest.files.end());  // Restore has read it
  const artifact::PackedModel packed =
      PackModel(network->State(), rules, model.spec(),
                {manifest.step, manifest.epoch, manifest.accuracy_ratio}, source->sha256);
  std::string bytes;
  RETURN_IF_ERROR(artifact::WritePacked(packed, [&](std::string_view more) {
    bytes += more;
    return absl::OkStatus();
  }));
  return bytes;
}

}  // namespace bsnn::trainer
