#include "base/check.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace bsnn::base {

void FailCheck(std::string_view expression, std::string_view file, int line) {
  fmt::print(stderr, "{}:{}: broken invariant: {}\n", file, line, expression);
  std::fflush(stderr);
  std::abort();
}

}  // namespace bsnn::base
