/// Folders of event recordings for tests.
#pragma once

#include <filesystem>
#include <string>

#include "spec/job_spec.h"
#include "tests/worker/support/temp_folder.h"
#include "tests/worker/trainer/data/event_bytes.h"

namespace bsnn::trainer {

inline void Write(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::filesystem::remove(path);
  test::Append(path, content);
}

inline spec::DataSpec Spec(spec::DataName name) {
  spec::DataSpec spec;
  spec.name = name;
  return spec;
}

/// Each digit once in Train, and digit 3 in Test. The recording of digit d has d + 1 events at
/// (d, 2) in its first half and one at (33, 33) at its end.
inline void WriteNMnist(const std::filesystem::path& folder) {
  for (int digit = 0; digit < 10; ++digit) {
    std::string content;
    for (int i = 0; i <= digit; ++i) content += AtisEvent(digit, 2, 1, static_cast<uint32_t>(i));
    content += AtisEvent(33, 33, 1, 1000);
    const std::string name = std::to_string(digit) + "/0000" + std::to_string(9 - digit) + ".bin";
    Write(folder / "Train" / name, content);
    std::filesystem::create_directories(folder / "Test" / std::to_string(digit));
    if (digit == 3) Write(folder / "Test" / name, content);
  }
}

}  // namespace bsnn::trainer
