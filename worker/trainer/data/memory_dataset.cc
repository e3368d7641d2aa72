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

std::vector<Normalization> PlanesOf(const InputShape& shape,
                                    const std::vector<Normalization>& channels) {
  BSNN_CHECK(std::ssize(channels) == shape.channels);
  std::vector<Normalization> planes;
  for (int64_t frame = 0; frame < shape.frames; ++frame) {
    planes.insert(planes.end(), channels.begin(), channels.end());
  }
  return planes;
}

void Present(const InputShape& shape, std::span<const Normalization> planes,
             const EpochAugmentation* change, int64_t index, std::span<const uint8_t> picture,
             std::span<float> out) {
  std::vector<uint8_t> changed;
  if (change != nullptr && ChangesPictures(change->spec)) {
    changed.resize(picture.size());
    Augment(change->spec, {shape.frames * shape.channels, shape.height, shape.width},
            {change->seed, change->epoch, index}, picture, changed);
    picture = changed;
  }
  Normalize(picture, planes, out);
}

MemoryDataset::MemoryDataset(const InputShape& shape, Pictures pictures,
                             const std::vector<Normalization>& channels)
    : Dataset(shape, std::move(pictures.labels)),
      pixels_(std::move(pictures.pixels)),
      planes_(PlanesOf(shape, channels)) {
  BSNN_CHECK(std::ssize(pixels_) == size() * shape.values());
}

absl::Status MemoryDataset::Read(int64_t index, const EpochAugmentation* change,
                                 std::span<float> out) const {
  const auto bytes = static_cast<size_t>(shape().values());
  Present(shape(), planes_, change, index,
          {pixels_.data() + static_cast<size_t>(index) * bytes, bytes}, out);
  return absl::OkStatus();
}

}  // namespace bsnn::trainer
