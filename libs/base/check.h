/// BSNN_CHECK: a broken invariant ends the program, in release builds too. Never on outside input.
#pragma once

#include <string_view>

namespace bsnn::base {
/// Prints what was broken and where, and aborts.
[[noreturn]] void FailCheck(std::string_view expression, std::string_view file, int line);
}  // namespace bsnn::base

#define BSNN_CHECK(condition)                                                  \
  do {                                                                         \
    if (!(condition)) ::bsnn::base::FailCheck(#condition, __FILE__, __LINE__); \
  } while (false)
