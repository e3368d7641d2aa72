#include "worker/trainer/data/memory_dataset.h"

#include <utility>

#include "base/check.h"
#include "worker/trainer/data/augment.h"

namespace bsnn::trainer {

void Normalize(std::span<const uint8_t> in, std::span<const Normalization> channels,
               std::span<float> out) {
  const size_t plane = in.size() / channels.size();
  for (size_t c = 0; c < channels.size(); ++c) {
    const float scale = 1.0F / (255.0F * channels[c].deviation);
    const float offset = channels[c].mean / channels[c].deviation;
    for (size_t p = c * plane; p < (c + 1) * plane; ++p) {
      out[p] = static_cast<float>(in[p]) * scale - offset;
    }
  }
}

MemoryDataset::MemoryDataset(const InputShape& shape, Pictures pictures,
                             const std::vector<Normalization>& channels)
    : Dataset(shape, std::move(pictures.labels)), pixels_(std::move(pictures.pixels)) {
  BSNN_CHECK(std::ssize(pixels_) == size() * shape.values() &&
             std::ssize(channels) == shape.channels);
  for (int64_t frame = 0; frame < shape.frames; ++frame) {
    channels_.insert(channels_.end(), channels.begin(), channels.end());
  }
}

absl::Status MemoryDataset::Read(int64_t index, const EpochAugmentation* change,
                                 std::span<float> out) const {
  const InputShape& like = shape();
  const auto bytes = static_cast<size_t>(like.values());
  std::span<const uint8_t> picture(pixels_.data() + static_cast<size_t>(index) * bytes, bytes);
  std::vector<uint8_t> changed;
  if (change != nullptr && ChangesPictures(change->spec)) {
    changed.resize(bytes);
    Augment(change->spec, {like.frames * like.channels, like.height, like.width},
            {change->seed, change->epoch, index}, picture, changed);
    picture = changed;
  }
  Normalize(picture, channels_, out);
  return absl::OkStatus();
}

}  // namespace bsnn::trainer
