// Reads a safetensors file with our reader and writes it again with our writer:
// safetensors_tool IN OUT. With no IN, writes a file of each type.
#include <cstdio>
#include <fstream>

#include "artifact/safetensors.h"

namespace bsnn::artifact {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}

int Run(const char* in, const char* out) {
  const auto file = SafetensorsFile::Open(in);
  if (!file.ok()) return Fail(file.status());
  std::vector<std::string> data;
  std::vector<TensorBytes> tensors;
  data.reserve(file->tensors().size());
  for (const TensorEntry& entry : file->tensors()) {
    data.emplace_back(entry.size_bytes(), '\0');
    if (const auto status = file->Read(entry, data.back()); !status.ok()) return Fail(status);
    tensors.push_back({entry.name, entry.type, entry.shape, data.back()});
  }
  std::ofstream stream(out, std::ios::binary);
  const auto status =
      WriteSafetensors(std::move(tensors), file->metadata(), [&](std::string_view bytes) {
        stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        return absl::OkStatus();
      });
  return status.ok() && stream.good() ? 0 : Fail(status);
}

}  // namespace
}  // namespace bsnn::artifact

int main(int argc, char** argv) { return argc == 3 ? bsnn::artifact::Run(argv[1], argv[2]) : 2; }
