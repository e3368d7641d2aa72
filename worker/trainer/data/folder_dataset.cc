#include "worker/trainer/data/folder_dataset.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "base/file.h"
#include "base/status.h"
#include "worker/trainer/data/augment.h"
#include "worker/trainer/data/in_file.h"
#include "worker/trainer/data/memory_dataset.h"
#include "worker/trainer/data/picture_file.h"
#include "worker/trainer/data/resize.h"

namespace bsnn::trainer {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kStreamOfBox = 0x626F78;  // "box"
constexpr int64_t kClassesMax = 100'000;
/// Source: science.md §4.2.
constexpr std::array<Normalization, 3> kImageNet = {
    {{0.485F, 0.229F}, {0.456F, 0.224F}, {0.406F, 0.225F}}};

bool IsPictureName(const fs::path& name) {
  const std::string ending = absl::AsciiStrToLower(name.extension().string());
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

/// Names in `folder` that `wanted` takes, sorted. NotFound where it cannot be listed.
template <class Wanted>
absl::StatusOr<std::vector<std::string>> List(const fs::path& folder, Wanted&& wanted) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (wanted(*at)) names.push_back(at->path().filename().string());
  }
  if (error) {
    return absl::NotFoundError(
        fmt::format("{}: cannot be listed: {}", folder.string(), error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::vector<std::string>> ListClasses(const fs::path& folder) {
  ASSIGN_OR_RETURN(auto names, List(folder, [](const fs::directory_entry& entry) {
                     std::error_code error;
                     return entry.is_directory(error);
                   }));
  if (names.size() < 2 || std::ssize(names) > kClassesMax) {
    return absl::DataLossError(fmt::format("{}: {} folders of classes (allowed: 2 to {})",
                                           folder.string(), names.size(), kClassesMax));
  }
  return names;
}

/// Where the folder with train/ and val/ is, and its classes.
struct Layout {
  fs::path folder;
  std::vector<std::string> classes;
};

absl::StatusOr<Layout> FindLayout(const fs::path& given) {
  std::error_code error;
  const fs::path inner = given / spec::ToWord(spec::DataName::kImageFolder);
  const fs::path folder = fs::is_directory(inner, error) ? inner : given;
  const fs::path train = folder / "train";
  const fs::path source = fs::is_directory(train, error) ? train : folder / "val";
  if (!fs::is_directory(source, error)) {
    return absl::NotFoundError(
        fmt::format("neither {} nor {} is a folder", train.string(), source.string()));
  }
  ASSIGN_OR_RETURN(auto classes, ListClasses(source));
  return Layout{folder, std::move(classes)};
}

InputShape ShapeWith(const Layout& layout, int32_t side) {
  return {.channels = 3, .height = side, .width = side, .classes = std::ssize(layout.classes)};
}

class FolderDataset : public Dataset {
 public:
  FolderDataset(const InputShape& shape, std::vector<int32_t> labels, fs::path folder,
                std::vector<std::string> files)
      : Dataset(shape, std::move(labels)), folder_(std::move(folder)), files_(std::move(files)) {}

  absl::Status Read(int64_t index, const EpochAugmentation* change,
                    std::span<float> out) const override {
    const fs::path path = folder_ / files_[static_cast<size_t>(index)];
    ASSIGN_OR_RETURN(const std::string content, base::ReadFile(path, kPictureBytesMax));
    const auto decoded = DecodePicture(content, kPicturePixelsMax);
    if (!decoded.ok()) return InFile(path, decoded.status());
    const int64_t side = shape().height;
    const PictureSize size{3, side, side};
    std::vector<uint8_t> picture(static_cast<size_t>(size.bytes()));
    if (change != nullptr && change->spec.resized_crop) {
      RandomStream random(kStreamOfBox ^ static_cast<uint64_t>(change->seed) << 32,
                          static_cast<uint64_t>(change->epoch), static_cast<uint64_t>(index));
      const Box box = RandomBox(decoded->height, decoded->width, random);
      CutAndResize(*decoded, box, side, picture);
    } else {
      ResizeAndCutMiddle(*decoded, side, picture);
    }
    if (change != nullptr && ChangesPictures(change->spec)) {
      const std::vector<uint8_t> in = picture;
      Augment(change->spec, size, {change->seed, change->epoch, index}, in, picture);
    }
    Normalize(picture, kImageNet, out);
    return absl::OkStatus();
  }

 private:
  fs::path folder_;
  std::vector<std::string> files_;  ///< below it, in the order of labels()
};

}  // namespace

absl::StatusOr<InputShape> FolderShape(const fs::path& folder, int32_t side) {
  ASSIGN_OR_RETURN(const Layout layout, FindLayout(folder));
  return ShapeWith(layout, side);
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenFolder(const fs::path& folder, Split split,
                                                    int32_t side, int64_t limit) {
  ASSIGN_OR_RETURN(const Layout layout, FindLayout(folder));
  const fs::path part = layout.folder / (split == Split::kTrain ? "train" : "val");
  ASSIGN_OR_RETURN(const auto classes, ListClasses(part));
  struct Entry {
    int64_t rank;  // of the file in its class
    int32_t label;
    std::string file;
  };
  std::vector<Entry> entries;
  for (const std::string& name : classes) {
    const auto known = std::lower_bound(layout.classes.begin(), layout.classes.end(), name);
    if (known == layout.classes.end() || *known != name) {
      return absl::DataLossError(
          fmt::format("{}: no class of train/ has this name", (part / name).string()));
    }
    ASSIGN_OR_RETURN(const auto files, List(part / name, [](const fs::directory_entry& entry) {
                       return IsPictureName(entry.path());
                     }));
    if (files.empty()) {
      return absl::DataLossError(
          fmt::format("{}: no picture (.jpg, .jpeg, .png)", (part / name).string()));
    }
    const auto label = static_cast<int32_t>(known - layout.classes.begin());
    for (size_t i = 0; i < files.size(); ++i) {
      entries.push_back({static_cast<int64_t>(i), label, name + "/" + files[i]});
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.rank, a.label) < std::tie(b.rank, b.label);
  });
  if (limit > 0 && limit < std::ssize(entries)) entries.resize(static_cast<size_t>(limit));
  std::vector<int32_t> labels;
  std::vector<std::string> files;
  for (Entry& entry : entries) {
    labels.push_back(entry.label);
    files.push_back(std::move(entry.file));
  }
  return std::make_unique<FolderDataset>(ShapeWith(layout, side), std::move(labels), part,
                                         std::move(files));
}

}  // namespace bsnn::trainer
