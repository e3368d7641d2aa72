#pragma once

#include <algorithm>
#include <iterator>
#include <vector>

namespace bsnn {

/// The larger middle one of an even number of values. `values` is not empty.
inline double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace bsnn
