/// The readers of bytes from outside, by name: what fuzzing calls.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bsnn::fuzz {

struct Reader {
  std::string name;
  /// Reads and checks that whatever was accepted is what the reader promises. True if accepted.
  std::function<bool(std::string_view)> read;
  /// Inputs that are accepted.
  std::vector<std::string> seeds;
  /// Share of damaged inputs that is refused at least.
  double refused_min = 0.5;
};

std::vector<Reader> Readers();

}  // namespace bsnn::fuzz
