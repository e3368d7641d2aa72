#include "worker/device/slots.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "base/limits.h"

namespace bsnn::device {
namespace {

constexpr char kNvidiaSmi[] =
    "timeout 20 nvidia-smi --query-gpu=index,uuid,name,memory.total --format=csv,noheader,nounits "
    "2>/dev/null";
constexpr size_t kOutputBytesMax = 64 << 10;

bool HasNvidiaDevice() {
  std::error_code error;
  std::filesystem::directory_iterator entries("/dev", error);
  if (error) return false;
  return std::any_of(begin(entries), end(entries), [](const auto& entry) {
    const std::string name = entry.path().filename().string();
    return name.size() > 6 && name.rfind("nvidia", 0) == 0 && name[6] >= '0' && name[6] <= '9';
  });
}

std::string RunNvidiaSmi() {
  struct Close {
    void operator()(FILE* pipe) const { ::pclose(pipe); }
  };
  const std::unique_ptr<FILE, Close> pipe(::popen(kNvidiaSmi, "re"));
  if (!pipe) return "";
  std::string text;
  std::array<char, 4096> block;
  while (text.size() < kOutputBytesMax) {
    const size_t count = std::fread(block.data(), 1, block.size(), pipe.get());
    if (count == 0) break;
    text.append(block.data(), count);
  }
  return text;
}

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::vector<agent::Slot> CpuSlots(int count) {
  std::vector<agent::Slot> slots;
  for (int i = 0; i < count; ++i) {
    slots.push_back({.index = i, .device = "cpu", .description = "CPU", .cuda_visible = ""});
  }
  return slots;
}

std::vector<agent::Slot> ParseNvidiaSmi(std::string_view text) {
  std::vector<agent::Slot> slots;
  for (const absl::string_view line : absl::StrSplit(View(text), '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ", ");
    int index = 0;
    if (fields.size() != 4 || !absl::SimpleAtoi(fields[0], &index) ||
        !absl::StartsWith(fields[1], "GPU-")) {
      continue;
    }
    int64_t mebibytes = 0;  // "[N/A]" where the memory is the host's
    if (!absl::SimpleAtoi(fields[3], &mebibytes) || mebibytes < 0) mebibytes = 0;
    slots.push_back({.index = index,
                     .device = "cuda",
                     .description = fields[2],
                     .memory_bytes = mebibytes << 20,
                     .cuda_visible = fields[1]});
    if (slots.size() == base::kSlotsPerWorkerMax) break;
  }
  return slots;
}

std::vector<agent::Slot> RestrictTo(std::string_view visible,
                                    const std::vector<agent::Slot>& slots) {
  std::vector<agent::Slot> left;
  for (absl::string_view item : absl::StrSplit(View(visible), ',')) {
    item = absl::StripAsciiWhitespace(item);
    const auto found = std::find_if(slots.begin(), slots.end(), [item](const agent::Slot& slot) {
      return item == std::to_string(slot.index) ||
             (item.size() >= 5 && absl::StartsWith(slot.cuda_visible, item));
    });
    if (found == slots.end()) break;
    left.push_back(*found);
  }
  for (size_t i = 0; i < left.size(); ++i) left[i].index = static_cast<int>(i);
  return left;
}

absl::StatusOr<std::vector<agent::Slot>> FindSlots(const SlotOptions& options) {
  std::vector<agent::Slot> cuda;
  if (options.kind != Kind::kCpu && HasNvidiaDevice()) cuda = ParseNvidiaSmi(RunNvidiaSmi());
  if (options.cuda_visible_devices_is_set) cuda = RestrictTo(options.cuda_visible_devices, cuda);
  for (size_t i = 0; i < cuda.size(); ++i) cuda[i].index = static_cast<int>(i);
  if (!cuda.empty()) return cuda;
  if (options.kind == Kind::kCuda) {
    return absl::FailedPreconditionError(
        "device is 'cuda', but no CUDA device was found (/dev/nvidia0, nvidia-smi, "
        "CUDA_VISIBLE_DEVICES)");
  }
  return CpuSlots(options.cpu_slots);
}

}  // namespace bsnn::device
