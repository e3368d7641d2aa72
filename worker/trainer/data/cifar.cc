#include "worker/trainer/data/cifar.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/status.h"
#include "worker/trainer/data/in_file.h"

namespace bsnn::trainer {

absl::Status ParseCifar(std::string_view content, const CifarFormat& format, Pictures& pictures) {
  const auto label_bytes = static_cast<size_t>(format.label_bytes);
  const size_t record = label_bytes + static_cast<size_t>(kCifarPixels);
  const size_t count = content.size() / record;
  if (count == 0 || content.size() % record != 0) {
    return absl::DataLossError(
        fmt::format("offset {}: the content ends after {} bytes (allowed: whole records of {})",
                    count * record, content.size(), record));
  }
  for (size_t i = 0; i < count; ++i) {
    const size_t at = i * record + label_bytes - 1;
    const auto label = static_cast<uint8_t>(content[at]);
    if (label >= format.classes) {
      return absl::DataLossError(fmt::format("offset {}: label is {} (allowed: 0 to {})", at,
                                             int{label}, format.classes - 1));
    }
  }
  pictures.pixels.reserve(pictures.pixels.size() + count * static_cast<size_t>(kCifarPixels));
  for (size_t i = 0; i < count; ++i) {
    const std::string_view one = content.substr(i * record, record);
    pictures.labels.push_back(static_cast<uint8_t>(one[label_bytes - 1]));
    pictures.pixels.insert(pictures.pixels.end(), one.begin() + format.label_bytes, one.end());
  }
  return absl::OkStatus();
}

absl::Status ReadCifar(const std::filesystem::path& path, const CifarFormat& format,
                       uint64_t bytes_max, Pictures& pictures) {
  ASSIGN_OR_RETURN(const std::string content, base::ReadFile(path, bytes_max));
  return InFile(path, ParseCifar(content, format, pictures));
}

}  // namespace bsnn::trainer
