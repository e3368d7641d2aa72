#include "worker/trainer/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/fault.h"
#include "base/status.h"
#include "worker/trainer/data/cifar.h"
#include "worker/trainer/data/events/event_frames.h"
#include "worker/trainer/data/events/event_sources.h"
#include "worker/trainer/data/folder_dataset.h"
#include "worker/trainer/data/generated.h"
#include "worker/trainer/data/idx.h"
#include "worker/trainer/data/memory_dataset.h"

namespace bsnn::trainer {
namespace {

constexpr uint64_t kPixelsBytesMax = uint64_t{1} << 30;
constexpr int64_t kMnistSide = 28;
constexpr int kMnistClasses = 10;

bool IsCifar(spec::DataName name) {
  return name == spec::DataName::kCifar10 || name == spec::DataName::kCifar100;
}

CifarFormat CifarFormatOf(spec::DataName name) {
  return name == spec::DataName::kCifar10 ? CifarFormat{.label_bytes = 1, .classes = 10}
                                          : CifarFormat{.label_bytes = 2, .classes = 100};
}

/// Source: science.md §4.2 for CIFAR, the sets themselves for the others.
std::vector<Normalization> NormalizationOf(const spec::DataSpec& spec) {
  if (IsEventSet(spec.name)) {  // counts as they are; shares from 0 to 1
    const bool counts = spec.frame_values == spec::FrameValues::kCounts;
    return std::vector<Normalization>(2, {0, counts ? 1.0F / 255 : 1});
  }
  switch (spec.name) {
    case spec::DataName::kGenerated:
      return {{0.17F, 0.24F}};
    case spec::DataName::kFashionMnist:
      return {{0.2860F, 0.3530F}};
    case spec::DataName::kCifar10:
      return {{0.4914F, 0.2023F}, {0.4822F, 0.1994F}, {0.4465F, 0.2010F}};
    case spec::DataName::kCifar100:
      return {{0.5071F, 0.2675F}, {0.4867F, 0.2565F}, {0.4408F, 0.2761F}};
    default:
      return {{0.1307F, 0.3081F}};
  }
}

/// The first of `folder`, `folder`/<name> and, in either, `archive` (the folder that the
/// publisher's archive unpacks to, or "") that holds one of `files`. Where none does, `folder`
/// itself: its missing file is the one to be named.
std::filesystem::path FindFolder(const std::filesystem::path& folder, spec::DataName name,
                                 const std::filesystem::path& archive,
                                 const std::vector<std::string>& files) {
  for (const auto& outer : {folder / spec::ToWord(name), folder}) {
    for (const auto& inner : {outer / archive, outer}) {
      const bool has = std::any_of(files.begin(), files.end(), [&](const std::string& file) {
        std::error_code unreadable;
        return std::filesystem::exists(inner / file, unreadable);
      });
      if (has) return inner;
    }
  }
  return folder;
}

absl::StatusOr<Pictures> LoadMnist(spec::DataName name, const std::filesystem::path& folder,
                                   Split split) {
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  const std::string images_name = prefix + "-images-idx3-ubyte";
  const auto found = FindFolder(folder, name, "", {images_name, images_name + ".gz"});
  const auto images_path = found / images_name;
  const auto labels_path = found / (prefix + "-labels-idx1-ubyte");
  ASSIGN_OR_RETURN(IdxArray images, ReadIdx(images_path, 3, kPixelsBytesMax));
  ASSIGN_OR_RETURN(const IdxArray labels, ReadIdx(labels_path, 1, kPixelsBytesMax));
  if (images.shape[1] != kMnistSide || images.shape[2] != kMnistSide) {
    return absl::DataLossError(fmt::format("{}: pictures are {}x{} (allowed: {}x{})",
                                           images_path.string(), images.shape[1], images.shape[2],
                                           kMnistSide, kMnistSide));
  }
  if (images.shape[0] != labels.shape[0]) {
    return absl::DataLossError(fmt::format("{}: {} pictures but {} labels", found.string(),
                                           images.shape[0], labels.shape[0]));
  }
  const auto wrong = std::find_if(labels.bytes.begin(), labels.bytes.end(),
                                  [](uint8_t label) { return label >= kMnistClasses; });
  if (wrong != labels.bytes.end()) {
    return absl::DataLossError(fmt::format("{}: offset {}: label is {} (allowed: 0 to {})",
                                           labels_path.string(), 8 + (wrong - labels.bytes.begin()),
                                           int{*wrong}, kMnistClasses - 1));
  }
  return Pictures{std::move(images.bytes), {labels.bytes.begin(), labels.bytes.end()}};
}

absl::StatusOr<Pictures> LoadCifar(spec::DataName name, const std::filesystem::path& folder,
                                   Split split) {
  const bool ten = name == spec::DataName::kCifar10;
  std::vector<std::string> files;
  if (split == Split::kTest) {
    files = {ten ? "test_batch.bin" : "test.bin"};
  } else if (ten) {
    for (int i = 1; i <= 5; ++i) files.push_back(fmt::format("data_batch_{}.bin", i));
  } else {
    files = {"train.bin"};
  }
  const auto found =
      FindFolder(folder, name, ten ? "cifar-10-batches-bin" : "cifar-100-binary", files);
  Pictures pictures;
  for (const std::string& file : files) {
    RETURN_IF_ERROR(ReadCifar(found / file, CifarFormatOf(name), kPixelsBytesMax, pictures));
  }
  return pictures;
}

/// Frames of recordings, read when asked for.
class FramesDataset : public Dataset {
 public:
  FramesDataset(const InputShape& shape, EventFrames frames,
                const std::vector<Normalization>& channels)
      : Dataset(shape, {frames.labels().begin(), frames.labels().end()}),
        frames_(std::move(frames)),
        planes_(PlanesOf(shape, channels)) {}

  absl::Status Read(int64_t index, const EpochAugmentation* change,
                    std::span<float> out) const override {
    std::vector<uint8_t> sample(static_cast<size_t>(shape().values()));
    RETURN_IF_ERROR(frames_.Read(index, sample));
    Present(shape(), planes_, change, index, sample, out);
    return absl::OkStatus();
  }

 private:
  const EventFrames frames_;
  const std::vector<Normalization> planes_;
};

absl::StatusOr<Pictures> Load(const spec::JobSpec& spec, const std::filesystem::path& folder,
                              Split split, int64_t limit) {
  const spec::DataName name = spec.data.name;
  if (name == spec::DataName::kGenerated) return Generate(split, limit);
  return IsCifar(name) ? LoadCifar(name, folder, split) : LoadMnist(name, folder, split);
}

absl::StatusOr<std::unique_ptr<Dataset>> Open(const spec::JobSpec& spec,
                                              const std::filesystem::path& folder, Split split) {
  const int64_t limit = split == Split::kTrain ? spec.data.train_limit : spec.data.test_limit;
  if (spec.data.name == spec::DataName::kImageFolder) {
    return OpenFolder(folder, split, spec.data.picture_side, limit);
  }
  ASSIGN_OR_RETURN(const InputShape shape, ShapeOf(spec, folder));
  if (IsEventSet(spec.data.name)) {  // which cuts no more recordings than the limit
    ASSIGN_OR_RETURN(EventFrames frames, LoadEventFrames(spec.data, spec.network.time_steps, folder,
                                                         split == Split::kTrain));
    return std::make_unique<FramesDataset>(shape, std::move(frames), NormalizationOf(spec.data));
  }
  ASSIGN_OR_RETURN(Pictures pictures, Load(spec, folder, split, limit));
  if (limit > 0 && limit < std::ssize(pictures.labels)) {
    pictures.labels.resize(static_cast<size_t>(limit));
    pictures.pixels.resize(static_cast<size_t>(limit * shape.values()));
  }
  return std::make_unique<MemoryDataset>(shape, std::move(pictures), NormalizationOf(spec.data));
}

}  // namespace

absl::Status DataUnavailable(absl::Status status) {
  const bool of_files = absl::IsNotFound(status) || absl::IsFailedPrecondition(status) ||
                        absl::IsDataLoss(status) || absl::IsPermissionDenied(status);
  if (!of_files) return status;
  return base::WithReason(std::move(status), {std::string(kDataUnavailableReason), {}});
}

absl::StatusOr<InputShape> ShapeOf(const spec::JobSpec& spec, const std::filesystem::path& folder) {
  const spec::DataName name = spec.data.name;
  if (name == spec::DataName::kImageFolder) {
    auto shape = FolderShape(folder, spec.data.picture_side);
    if (!shape.ok()) return DataUnavailable(shape.status());
    return shape;
  }
  if (IsEventSet(name)) {
    return InputShape{.channels = 2,
                      .height = SideOf(spec.data),
                      .width = SideOf(spec.data),
                      .classes = EventClassesOf(name),
                      .frames = spec.network.time_steps};
  }
  if (IsCifar(name)) {
    return InputShape{.channels = 3,
                      .height = kCifarSide,
                      .width = kCifarSide,
                      .classes = CifarFormatOf(name).classes};
  }
  return InputShape{
      .channels = 1, .height = kMnistSide, .width = kMnistSide, .classes = kMnistClasses};
}

std::string SplitText(const spec::DataSpec& spec) {
  if (spec.name != spec::DataName::kCifar10Dvs) return "";
  return fmt::format(" split={}", spec::ToWord(spec.split));
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const spec::JobSpec& spec,
                                                     const std::filesystem::path& folder,
                                                     Split split) {
  auto opened = Open(spec, folder, split);
  if (!opened.ok()) return DataUnavailable(opened.status());
  return opened;
}

}  // namespace bsnn::trainer
