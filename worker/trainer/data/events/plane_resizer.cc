#include "worker/trainer/data/events/plane_resizer.h"

namespace bsnn::trainer {

PlaneResizer::PlaneResizer(int64_t side_in, int64_t side_out)
    : side_in_(side_in), taps_(MakeTaps(side_in, side_out, 0, side_out)) {}

void PlaneResizer::Run(std::span<const uint8_t> in, std::span<uint8_t> out) const {
  const size_t side_in = static_cast<size_t>(side_in_), side_out = taps_.size();
  std::vector<uint8_t> narrow(side_in * side_out);
  for (size_t y = 0; y < side_in; ++y) {
    for (size_t x = 0; x < side_out; ++x) {
      narrow[y * side_out + x] = Weigh(taps_[x], in.data() + y * side_in, 1);
    }
  }
  for (size_t y = 0; y < side_out; ++y) {
    for (size_t x = 0; x < side_out; ++x) {
      out[y * side_out + x] = Weigh(taps_[y], narrow.data() + x, std::ssize(taps_));
    }
  }
}

}  // namespace bsnn::trainer
