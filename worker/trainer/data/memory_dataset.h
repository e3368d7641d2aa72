/// Pictures that are all in memory, as bytes.
#pragma once

#include "worker/trainer/data/dataset.h"

namespace bsnn::trainer {

/// Of pixel / 255 over the training set.
struct Normalization {
  float mean = 0;
  float deviation = 1;
};

struct Pictures {
  std::vector<uint8_t> pixels;  ///< [N, C, H, W], or [N, frames, C, H, W], row-major
  std::vector<int32_t> labels;  ///< [N]
};

/// (pixel / 255 - mean) / deviation of `in`, planes of bytes [C, H, W], one of `channels` each.
void Normalize(std::span<const uint8_t> in, std::span<const Normalization> channels,
               std::span<float> out);

/// What Dataset::Read makes of the bytes of picture `index`. `planes` is PlanesOf's.
void Present(const InputShape& shape, std::span<const Normalization> planes,
             const EpochAugmentation* change, int64_t index, std::span<const uint8_t> picture,
             std::span<float> out);
/// Of each plane of all frames, from that of each channel.
std::vector<Normalization> PlanesOf(const InputShape& shape,
                                    const std::vector<Normalization>& channels);

class MemoryDataset : public Dataset {
 public:
  /// `pictures` has shape.values() pixels for each label; `channels` one entry a channel.
  MemoryDataset(const InputShape& shape, Pictures pictures,
                const std::vector<Normalization>& channels);

  absl::Status Read(int64_t index, const EpochAugmentation* change,
                    std::span<float> out) const override;

 private:
  std::vector<uint8_t> pixels_;
  std::vector<Normalization> planes_;
};

}  // namespace bsnn::trainer
