// libFuzzer's entries: `reader_fuzz CORPUS/NAME [flags of libFuzzer]` feeds the reader called NAME, whose
// seeds it puts into that folder first.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "tests/fuzz/readers.h"

namespace {

bsnn::fuzz::Reader reader;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  const std::filesystem::path corpus = *count > 1 ? (*arguments)[1] : "";
  std::string names;
  for (const auto& candidate : bsnn::fuzz::Readers()) {
    if (candidate.name == corpus.filename()) reader = candidate;
    names += " " + candidate.name;
  }
  if (!reader.read) {
    std::cerr << "usage: reader_fuzz CORPUS/NAME [flags]; NAME is one of" << names << "\n";
    std::exit(2);
  }
  std::filesystem::create_directories(corpus);
  for (size_t i = 0; i < reader.seeds.size(); ++i) {
    std::ofstream(corpus / ("seed" + std::to_string(i)), std::ios::binary) << reader.seeds[i];
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  reader.read({reinterpret_cast<const char*>(data), size});
  return 0;
}
