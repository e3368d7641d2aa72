#include "worker/trainer/data/dataset.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/status.h"
#include "worker/trainer/data/augment.h"
#include "worker/trainer/data/cifar.h"
#include "worker/trainer/data/generated.h"
#include "worker/trainer/data/idx.h"
#include "worker/trainer/data/random_stream.h"

namespace bsnn::trainer {
namespace {

constexpr uint64_t kPixelsBytesMax = uint64_t{1} << 30;
constexpr int64_t kGeneratedTrain = 20'000;
constexpr int64_t kGeneratedTest = 4'000;
constexpr uint64_t kStreamOfOrder = 0x6F72646572;  // "order"

/// Of pixel / 255 over the training pictures. CIFAR: science.md §4.2.
std::vector<Normalization> NormalizationOf(spec::DataName name) {
  switch (name) {
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

/// `folder`, or the folder in it with the set's name where that is where the files are.
std::filesystem::path FindFolder(const std::filesystem::path& folder, std::string_view name,
                                 const std::string& file) {
  const std::filesystem::path inner = folder / name;
  const bool has =
      std::filesystem::exists(inner / file) || std::filesystem::exists(inner / (file + ".gz"));
  return has ? inner : folder;
}

absl::StatusOr<Dataset> LoadMnist(spec::DataName name, const std::filesystem::path& folder,
                                  Split split) {
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  const std::string images_name = prefix + "-images-idx3-ubyte";
  const auto found = FindFolder(folder, spec::ToWord(name), images_name);
  ASSIGN_OR_RETURN(IdxArray images, ReadIdx(found / images_name, 3, kPixelsBytesMax));
  const std::string labels_name = prefix + "-labels-idx1-ubyte";
  ASSIGN_OR_RETURN(IdxArray labels, ReadIdx(found / labels_name, 1, kPixelsBytesMax));
  if (images.shape[1] != 28 || images.shape[2] != 28) {
    return absl::DataLossError(fmt::format("{}: pictures are {}x{} (allowed: 28x28)",
                                           (found / images_name).string(), images.shape[1],
                                           images.shape[2]));
  }
  if (images.shape[0] != labels.shape[0]) {
    return absl::DataLossError(fmt::format("{}: {} pictures but {} labels", found.string(),
                                           images.shape[0], labels.shape[0]));
  }
  const auto wrong = std::find_if(labels.bytes.begin(), labels.bytes.end(),
                                  [](uint8_t label) { return label > 9; });
  if (wrong != labels.bytes.end()) {
    return absl::DataLossError(fmt::format("{}: offset {}: label is {} (allowed: 0 to 9)",
                                           (found / labels_name).string(),
                                           8 + (wrong - labels.bytes.begin()), int{*wrong}));
  }
  return Dataset{.shape = ShapeOf(name),
                 .pixels = std::move(images.bytes),
                 .labels = std::move(labels.bytes),
                 .channels = NormalizationOf(name)};
}

/// The first of `folder`, `folder`/<name> and either's folder as the archive unpacks it that holds
/// `file`; else the folder itself, to be named in the fault.
std::filesystem::path FindCifar(const std::filesystem::path& folder, spec::DataName name,
                                const std::string& archive, const std::string& file) {
  for (const auto& outer : {folder, folder / spec::ToWord(name)}) {
    for (const auto& inner : {outer, outer / archive}) {
      if (std::filesystem::exists(inner / file)) return inner;
    }
  }
  return folder / archive;
}

absl::StatusOr<Dataset> LoadCifar(spec::DataName name, const std::filesystem::path& folder,
                                  Split split) {
  const bool ten = name == spec::DataName::kCifar10;
  const CifarFormat format = ten ? CifarFormat{.label_bytes = 1, .classes = 10}
                                 : CifarFormat{.label_bytes = 2, .classes = 100};
  std::vector<std::string> files;
  if (split == Split::kTest) {
    files = {ten ? "test_batch.bin" : "test.bin"};
  } else if (ten) {
    for (int i = 1; i <= 5; ++i) files.push_back(fmt::format("data_batch_{}.bin", i));
  } else {
    files = {"train.bin"};
  }
  const auto found =
      FindCifar(folder, name, ten ? "cifar-10-batches-bin" : "cifar-100-binary", files[0]);
  CifarPictures pictures;
  for (const std::string& file : files) {
    RETURN_IF_ERROR(ReadCifar(found / file, format, kPixelsBytesMax, pictures));
  }
  return Dataset{.shape = ShapeOf(name),
                 .pixels = std::move(pictures.pixels),
                 .labels = std::move(pictures.labels),
                 .channels = NormalizationOf(name)};
}

void Limit(Dataset& data, int64_t limit) {
  if (limit == 0 || limit >= data.size()) return;
  data.labels.resize(static_cast<size_t>(limit));
  data.pixels.resize(
      static_cast<size_t>(limit * data.shape.channels * data.shape.height * data.shape.width));
}

}  // namespace

InputShape ShapeOf(spec::DataName name) {
  switch (name) {
    case spec::DataName::kCifar10:
      return {.channels = 3, .height = kCifarSide, .width = kCifarSide, .classes = 10};
    case spec::DataName::kCifar100:
      return {.channels = 3, .height = kCifarSide, .width = kCifarSide, .classes = 100};
    default:
      return {.channels = 1, .height = 28, .width = 28, .classes = 10};
  }
}

absl::StatusOr<Dataset> LoadDataset(const spec::DataSpec& spec, const std::filesystem::path& folder,
                                    Split split) {
  const int64_t limit = split == Split::kTrain ? spec.train_limit : spec.test_limit;
  if (spec.name == spec::DataName::kGenerated) {
    const int64_t whole = split == Split::kTrain ? kGeneratedTrain : kGeneratedTest;
    return GenerateDataset(limit == 0 ? whole : std::min(limit, whole), split);
  }
  const bool cifar =
      spec.name == spec::DataName::kCifar10 || spec.name == spec::DataName::kCifar100;
  ASSIGN_OR_RETURN(Dataset data, cifar ? LoadCifar(spec.name, folder, split)
                                       : LoadMnist(spec.name, folder, split));
  Limit(data, limit);
  return data;
}

std::vector<int64_t> EpochOrder(int64_t size, int64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  RandomStream random(kStreamOfOrder, static_cast<uint64_t>(seed), static_cast<uint64_t>(epoch));
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

Batch MakeBatch(const Dataset& data, const std::vector<int64_t>& order, int64_t first, int64_t last,
                const std::optional<EpochAugmentation>& augmentation) {
  const InputShape& shape = data.shape;
  const PictureSize size{shape.channels, shape.height, shape.width};
  const auto bytes = static_cast<size_t>(size.bytes());
  std::vector<uint8_t> changed(augmentation ? bytes : 0);
  Batch batch{at::empty({last - first, shape.channels, shape.height, shape.width}, at::kFloat),
              at::empty({last - first}, at::kLong)};
  float* out = batch.images.data_ptr<float>();
  int64_t* labels = batch.labels.data_ptr<int64_t>();
  for (int64_t i = first; i < last; ++i) {
    const auto index = static_cast<size_t>(order[static_cast<size_t>(i)]);
    std::span<const uint8_t> picture(data.pixels.data() + index * bytes, bytes);
    if (augmentation) {
      Augment(augmentation->spec, size,
              {augmentation->seed, augmentation->epoch, static_cast<int64_t>(index)}, picture,
              changed);
      picture = changed;
    }
    const uint8_t* in = picture.data();
    for (const Normalization& channel : data.channels) {
      const float scale = 1.0F / (255.0F * channel.deviation);
      const float offset = channel.mean / channel.deviation;
      for (int64_t p = 0; p < shape.height * shape.width; ++p) {
        *out++ = static_cast<float>(*in++) * scale - offset;
      }
    }
    *labels++ = data.labels[index];
  }
  return batch;
}

}  // namespace bsnn::trainer
