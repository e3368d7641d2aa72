#include "worker/trainer/checkpoint/checkpoint.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "artifact/digest.h"
#include "artifact/safetensors.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::trainer {
namespace {

namespace fs = std::filesystem;
using artifact::TensorType;

constexpr char kTrainingFile[] = "training.safetensors";

TensorType ToTensorType(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return TensorType::kF32;
    case at::kDouble:
      return TensorType::kF64;
    case at::kLong:
      return TensorType::kI64;
    case at::kByte:
      return TensorType::kU8;
    default:
      TORCH_CHECK(false, "checkpoint: tensors of type ", type, " are not stored");
  }
}

absl::StatusOr<at::ScalarType> FromTensorType(const artifact::TensorEntry& tensor) {
  switch (tensor.type) {
    case TensorType::kF32:
      return at::kFloat;
    case TensorType::kF64:
      return at::kDouble;
    case TensorType::kI64:
      return at::kLong;
    case TensorType::kU8:
      return at::kByte;
    default:
      return absl::DataLossError(
          fmt::format("tensor '{}' has a type that no checkpoint of ours has", tensor.name));
  }
}

artifact::FileContent ToFile(const char* name, const NamedTensors& tensors,
                             std::map<std::string, std::string> metadata) {
  return {name, [&tensors, metadata = std::move(metadata)](const artifact::ByteSink& sink) {
            return WriteTensors(tensors, metadata, sink);
          }};
}

/// The files of a checkpoint. The packed one names the model's bytes, which are written before it.
std::vector<artifact::FileContent> FilesOf(const TrainingState& state, const spec::JobSpec& spec,
                                           const CheckpointFacts& facts,
                                           std::map<std::string, std::string> card) {
  const auto digest = std::make_shared<artifact::Sha256>();
  artifact::FileContent model = ToFile(kModelFile, state.model, std::move(card));
  std::vector<artifact::FileContent> files = {
      {kModelFile,
       [write = std::move(model.write), digest](const artifact::ByteSink& sink) {
         return write([&](std::string_view bytes) {
           digest->Update(bytes);
           return sink(bytes);
         });
       }},
      ToFile(kTrainingFile, state.training, {})};
  if (!state.packing.binary.empty()) {
    files.push_back({artifact::kPackedName, [&, digest](const artifact::ByteSink& sink) {
                       return artifact::WritePacked(
                           PackModel(state.model, state.packing, spec, facts, digest->FinishHex()),
                           sink);
                     }});
  }
  return files;
}

/// The spec without what may change between a run and its continuation. Fields that an older
/// version did not have are at their defaults, which do what it did.
std::string TrainedPart(const std::string& spec_text) {
  const auto spec = spec::ParseJobSpec(spec_text);
  if (!spec.ok()) return spec_text;
  nlohmann::json json = spec::ToJson(*spec);
  for (const char* section : {"checkpoint", "resources", "scheduling"}) json.erase(section);
  return json.dump();
}

/// Adds to `loaded` what checkpoints of earlier versions do not hold: counts of an epoch under way,
/// which begin at 0 in the middle of it.
void AddNewerTensors(const NamedTensors& wanted, NamedTensors& loaded) {
  std::set<std::string> names;
  for (const NamedTensor& named : loaded) names.insert(named.name);
  for (const NamedTensor& named : wanted) {
    const bool newer = named.name == "top5" || named.name.ends_with(".epoch_step_flips");
    if (newer && !names.contains(named.name)) {
      loaded.push_back({named.name, at::zeros_like(named.tensor)});
    }
  }
}

}  // namespace

absl::StatusOr<artifact::VerifiedCheckpoint> SaveCheckpoint(const fs::path& folder,
                                                            const spec::JobSpec& spec,
                                                            const TrainingState& state,
                                                            const CheckpointFacts& facts) {
  RETURN_IF_ERROR(base::MakeFolder(folder));
  artifact::Manifest manifest;
  manifest.kind = "full";
  manifest.step = facts.step;
  manifest.epoch = facts.epoch;
  manifest.accuracy_ratio = facts.accuracy_ratio;
  manifest.spec = spec::CanonicalText(spec);
  std::map<std::string, std::string> card = {
      {"format", "bsnn"},
      {"network", std::string(spec::ToWord(spec.network.name))},
      {"kind", std::string(spec::ToWord(spec.network.kind))},
      {"data", std::string(spec::ToWord(spec.data.name))},
      {"spec", manifest.spec}};
  return artifact::WriteCheckpointFolder(folder / artifact::CheckpointFolderName(facts.step),
                                         FilesOf(state, spec, facts, std::move(card)),
                                         std::move(manifest));
}

absl::Status WriteTensors(const NamedTensors& tensors,
                          const std::map<std::string, std::string>& metadata,
                          const artifact::ByteSink& sink) {
  std::vector<at::Tensor> kept;  // the views below borrow from these
  std::vector<artifact::TensorBytes> views;
  for (const NamedTensor& named : tensors) {
    kept.push_back(named.tensor.detach().cpu().contiguous());
    const at::Tensor& tensor = kept.back();
    views.push_back({named.name,
                     ToTensorType(tensor.scalar_type()),
                     {tensor.sizes().begin(), tensor.sizes().end()},
                     {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}});
  }
  return artifact::WriteSafetensors(views, metadata, sink);
}

absl::StatusOr<NamedTensors> LoadTensors(const fs::path& file) {
  ASSIGN_OR_RETURN(const auto opened, artifact::SafetensorsFile::Open(file));
  NamedTensors tensors;
  for (const artifact::TensorEntry& entry : opened.tensors()) {
    ASSIGN_OR_RETURN(const at::ScalarType type, FromTensorType(entry));
    const std::vector<int64_t> shape(entry.shape.begin(), entry.shape.end());
    at::Tensor tensor = at::empty(shape, type);
    RETURN_IF_ERROR(opened.Read(entry, {static_cast<char*>(tensor.data_ptr()), tensor.nbytes()}));
    tensors.push_back({entry.name, std::move(tensor)});
  }
  return tensors;
}

absl::StatusOr<artifact::VerifiedCheckpoint> FindNewest(const fs::path& folder,
                                                        std::vector<std::string>& warnings) {
  for (const fs::path& path : artifact::ListCheckpointFolders(folder)) {
    auto verified = artifact::VerifyCheckpointFolder(path);
    if (verified.ok()) return verified;
    warnings.push_back(fmt::format("checkpoint {} is refused: {}", path.string(),
                                   std::string(verified.status().message())));
    std::error_code error;
    const fs::path aside = path.parent_path() / (".broken-" + path.filename().string());
    fs::remove_all(aside, error);
    fs::rename(path, aside, error);
  }
  return absl::NotFoundError(fmt::format("no checkpoint in {}", folder.string()));
}

absl::Status RestoreCheckpoint(const artifact::VerifiedCheckpoint& checkpoint,
                               const spec::JobSpec& spec, const TrainingState& state) {
  if (TrainedPart(checkpoint.manifest.spec) != TrainedPart(spec::CanonicalText(spec))) {
    return absl::FailedPreconditionError(fmt::format(
        "{} was trained by another spec: {}", checkpoint.path.string(), checkpoint.manifest.spec));
  }
  ASSIGN_OR_RETURN(const NamedTensors model, LoadTensors(checkpoint.path / kModelFile));
  ASSIGN_OR_RETURN(NamedTensors training, LoadTensors(checkpoint.path / kTrainingFile));
  AddNewerTensors(state.training, training);
  RETURN_IF_ERROR(RestoreState(state.model, model, (checkpoint.path / kModelFile).string()));
  return RestoreState(state.training, training, (checkpoint.path / kTrainingFile).string());
}

absl::Status ApplyRetention(const fs::path& folder, const spec::CheckpointSpec& spec) {
  const std::vector<fs::path> all = artifact::ListCheckpointFolders(folder);
  std::set<fs::path> keep(all.begin(),
                          all.begin() + std::min<ptrdiff_t>(spec.keep_latest, std::ssize(all)));
  std::vector<std::pair<double, fs::path>> ranked;
  for (const fs::path& path : all) {
    const auto text = base::ReadFile(path / artifact::kManifestName, base::kManifestBytesMax);
    if (!text.ok()) continue;
    const auto manifest = artifact::ParseManifest(*text);
    if (manifest.ok() && !std::isnan(manifest->accuracy_ratio))
      ranked.emplace_back(-manifest->accuracy_ratio, path);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < ranked.size() && i < static_cast<size_t>(spec.keep_best); ++i)
    keep.insert(ranked[i].second);
  for (const fs::path& path : all) {
    if (!keep.contains(path)) RETURN_IF_ERROR(artifact::RemoveCheckpointFolder(path));
  }
  return absl::OkStatus();
}

}  // namespace bsnn::trainer
