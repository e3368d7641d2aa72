// libFuzzer's entry for the reader that BSNN_READER names.
#include "tests/fuzz/readers.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  static const auto read = [] {
    for (const auto& reader : bsnn::fuzz::Readers()) {
      if (reader.name == BSNN_READER) return reader.read;
    }
    __builtin_trap();
  }();
  read({reinterpret_cast<const char*>(data), size});
  return 0;
}
