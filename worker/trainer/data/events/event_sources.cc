#include "worker/trainer/data/events/event_sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <tuple>

#include "base/fault.h"
#include "base/file.h"
#include "base/status.h"
#include "worker/trainer/data/events/gesture_labels.h"
#include "worker/trainer/data/in_file.h"

namespace bsnn::trainer {
namespace {

namespace fs = std::filesystem;

// Bounds far above what is published: recordings of at most 50 kB, 10 MB and 400 MB.
constexpr uint64_t kAtisBytesMax = uint64_t{4} << 20;
constexpr uint64_t kAedat2BytesMax = uint64_t{256} << 20;
constexpr uint64_t kAedat3BytesMax = uint64_t{2} << 30;
constexpr uint64_t kListBytesMax = uint64_t{1} << 20;
constexpr size_t kRecordingsMax = 1'000'000;
constexpr std::array<std::string_view, 10> kCifarClasses = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

/// The first of `folder`/<name>, `folder` and, in either, `archive` that holds `entry`; else
/// `folder`, to be named in the fault.
fs::path FindFolder(const fs::path& folder, spec::DataName name, const std::string& archive,
                    const std::string& entry) {
  for (const fs::path& outer : {folder / spec::ToWord(name), folder}) {
    for (const fs::path& inner : {outer / archive, outer}) {
      std::error_code unreadable;
      if (fs::exists(inner / entry, unreadable)) return inner;
    }
  }
  return folder;
}

/// Names of the regular files in `folder` that end with `ending`, in the order of the names.
absl::StatusOr<std::vector<std::string>> ListFiles(const fs::path& folder,
                                                   std::string_view ending) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::string name = entries->path().filename().string();
    if (name.ends_with(ending) && entries->is_regular_file(error)) names.push_back(std::move(name));
    if (names.size() > kRecordingsMax) {
      return absl::DataLossError(fmt::format("{} holds more than {} files (allowed: that many)",
                                             folder.string(), kRecordingsMax));
    }
  }
  if (error) {
    return absl::NotFoundError(fmt::format("cannot list {}: {}", folder.string(), error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status ListNMnist(bool train, EventSources& sources) {
  struct File {
    std::string name;
    uint8_t digit;
  };
  std::vector<File> files;
  const std::string half = train ? "Train" : "Test";
  for (uint8_t digit = 0; digit < 10; ++digit) {
    const fs::path inner = fs::path(half) / std::to_string(digit);
    ASSIGN_OR_RETURN(const auto names, ListFiles(sources.folder / inner, ".bin"));
    for (const std::string& name : names) files.push_back({name, digit});
  }
  if (files.empty()) {
    return absl::NotFoundError(
        fmt::format("no {} in {}", half + "/<digit>/*.bin", sources.folder.string()));
  }
  // N-MNIST's names are MNIST's indices: its order, which mixes the digits.
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) {
    return std::tie(a.name, a.digit) < std::tie(b.name, b.digit);
  });
  for (const File& file : files) {
    sources.samples.push_back({sources.recordings.size(), file.digit});
    sources.recordings.push_back(fs::path(half) / std::to_string(file.digit) / file.name);
  }
  return absl::OkStatus();
}

struct NumberedFile {
  std::string name;
  int64_t number = 0;
};

/// The files cifar10_<class>_<number>.aedat of one class, in the order of their names.
absl::StatusOr<std::vector<NumberedFile>> ListClass(const fs::path& folder,
                                                    std::string_view class_name) {
  ASSIGN_OR_RETURN(const auto names, ListFiles(folder, ".aedat"));
  const std::string prefix = fmt::format("cifar10_{}_", class_name);
  std::vector<NumberedFile> files;
  for (const std::string& name : names) {
    if (!name.starts_with(prefix)) continue;
    NumberedFile file{name};
    const char* const end = name.data() + name.size() - std::string_view(".aedat").size();
    const auto [parsed, error] = std::from_chars(name.data() + prefix.size(), end, file.number);
    if (error == std::errc() && parsed == end && file.number >= 0) files.push_back(file);
  }
  if (files.empty()) {
    return absl::NotFoundError(fmt::format("no {}<number>.aedat in {}", prefix, folder.string()));
  }
  return files;
}

/// Keeps the training or the test files of one class.
void KeepSplit(spec::DvsSplit split, bool train, std::vector<NumberedFile>& files) {
  const auto by_number = [](const NumberedFile& a, const NumberedFile& b) {
    return a.number < b.number;
  };
  // SpikingJelly and SEW take the files as they are sorted by name: 0, 1, 10, 100, 101 ...
  if (split != spec::DvsSplit::kFirst90) std::sort(files.begin(), files.end(), by_number);
  if (split == spec::DvsSplit::kFrom100) {
    std::erase_if(files, [&](const NumberedFile& file) { return (file.number >= 100) != train; });
    return;
  }
  const size_t percent = split == spec::DvsSplit::kFirst90 ? 90 : 70;
  const auto middle =
      files.begin() + static_cast<ptrdiff_t>((files.size() * percent + 99) / 100);  // rounded up
  train ? files.erase(middle, files.end()) : files.erase(files.begin(), middle);
}

absl::Status ListCifar10Dvs(spec::DvsSplit split, bool train, EventSources& sources) {
  std::vector<std::vector<NumberedFile>> classes;
  size_t most = 0;
  for (const std::string_view name : kCifarClasses) {
    ASSIGN_OR_RETURN(auto files, ListClass(sources.folder / name, name));
    KeepSplit(split, train, files);
    most = std::max(most, files.size());
    classes.push_back(std::move(files));
  }
  for (size_t i = 0; i < most; ++i) {
    for (size_t label = 0; label < classes.size(); ++label) {
      if (i >= classes[label].size()) continue;
      sources.samples.push_back({sources.recordings.size(), static_cast<uint8_t>(label)});
      sources.recordings.push_back(fs::path(kCifarClasses[label]) / classes[label][i].name);
    }
  }
  if (sources.samples.empty()) {
    return absl::NotFoundError(fmt::format("no {} recording of the split '{}' in {}",
                                           train ? "training" : "test", spec::ToWord(split),
                                           sources.folder.string()));
  }
  return absl::OkStatus();
}

/// The recordings that a list names, one a line.
absl::StatusOr<std::vector<std::string>> ReadList(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::string content, base::ReadFile(path, kListBytesMax));
  std::vector<std::string> names;
  for (size_t at = 0; at < content.size();) {
    const size_t end = std::min(content.find('\n', at), content.size());
    std::string name = content.substr(at, end - at);
    while (!name.empty() && (name.back() == '\r' || name.back() == ' ')) name.pop_back();
    const bool plain = name.find_first_of(std::string("/\\\0", 3)) == name.npos;
    if (!name.empty() && (!plain || !name.ends_with(".aedat"))) {
      return absl::DataLossError(
          fmt::format("{}: offset {}: recording is '{}' (allowed: a file's name that ends with "
                      "'.aedat')",
                      path.string(), at, base::Shorten(name, 64)));
    }
    if (!name.empty()) names.push_back(std::move(name));
    at = end + 1;
  }
  if (names.empty()) return absl::DataLossError(path.string() + ": offset 0: no recording");
  return names;
}

absl::Status ListGestures(bool train, EventSources& sources) {
  const fs::path list = sources.folder / (train ? "trials_to_train.txt" : "trials_to_test.txt");
  ASSIGN_OR_RETURN(const auto names, ReadList(list));
  for (const std::string& name : names) {
    const fs::path labels =
        sources.folder /
        (name.substr(0, name.size() - std::string_view(".aedat").size()) + "_labels.csv");
    ASSIGN_OR_RETURN(const std::string content, base::ReadFile(labels, kListBytesMax));
    const auto pieces = ParseGestureLabels(content);
    RETURN_IF_ERROR(InFile(labels, pieces.status()));
    for (const GesturePiece& piece : *pieces) {
      sources.samples.push_back({sources.recordings.size(), piece.label, piece.start, piece.end});
    }
    sources.recordings.emplace_back(name);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsEventSet(spec::DataName name) {
  return name == spec::DataName::kNMnist || name == spec::DataName::kCifar10Dvs ||
         name == spec::DataName::kDvsGesture;
}

int32_t SideOf(const spec::DataSpec& spec) {
  if (spec.frame_side != 0) return spec.frame_side;
  return spec.name == spec::DataName::kNMnist ? kAtisSide : kDvs128Side;
}

int64_t EventClassesOf(spec::DataName name) {
  return name == spec::DataName::kDvsGesture ? kGestureClasses : 10;
}

absl::StatusOr<EventSources> ListEventSources(const spec::DataSpec& spec, const fs::path& folder,
                                              bool train) {
  EventSources sources;
  if (spec.name == spec::DataName::kNMnist) {
    sources = {ParseAtis, kAtisSide, kAtisBytesMax,
               FindFolder(folder, spec.name, "N-MNIST", train ? "Train" : "Test")};
    RETURN_IF_ERROR(ListNMnist(train, sources));
  } else if (spec.name == spec::DataName::kCifar10Dvs) {
    sources = {ParseAedat2, kDvs128Side, kAedat2BytesMax,
               FindFolder(folder, spec.name, "CIFAR10DVS", std::string(kCifarClasses[0]))};
    RETURN_IF_ERROR(ListCifar10Dvs(spec.split, train, sources));
  } else {
    sources = {ParseAedat3, kDvs128Side, kAedat3BytesMax,
               FindFolder(folder, spec.name, "DvsGesture", "trials_to_train.txt")};
    RETURN_IF_ERROR(ListGestures(train, sources));
  }
  const auto limit = static_cast<size_t>(train ? spec.train_limit : spec.test_limit);
  if (limit > 0 && limit < sources.samples.size()) {
    sources.samples.resize(limit);
    sources.recordings.resize(sources.samples.back().recording + 1);
  }
  return sources;
}

}  // namespace bsnn::trainer
