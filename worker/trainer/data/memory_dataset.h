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

class MemoryDataset : public Dataset {
 public:
  /// `pictures` has shape.values() pixels for each label; `channels` one entry a channel.
  MemoryDataset(const InputShape& shape, Pictures pictures,
                const std::vector<Normalization>& channels);

  absl::Status Read(int64_t index, const EpochAugmentation* change,
                    std::span<float> out) const override;

 private:
  std::vector<uint8_t> pixels_;
  std::vector<Normalization> channels_;  ///< of each plane: those of the channels, for each frame
};

}  // namespace bsnn::trainer
