/// Pictures in files: JPEG and PNG, by libjpeg-turbo and libpng.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace bsnn::trainer {

struct RgbPicture {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;  ///< [H, W, 3]
};

/// Decodes the content of a JPEG or PNG file, told apart by their first bytes. Grey becomes colour,
/// transparency is left out, CMYK is converted as Pillow does, 16 bits become the upper 8. DataLoss
/// with the offset reached where the content is neither, is damaged or ends early, and where its
/// header says more than `pixels_max` pixels: then nothing of that size was allocated. Damage that
/// leaves a JPEG decodable is taken as it decodes, as by other readers. Uses, besides the result's
/// bytes, at most 512 MiB (a progressive JPEG of the largest size).
absl::StatusOr<RgbPicture> DecodePicture(std::string_view content, int64_t pixels_max);

}  // namespace bsnn::trainer
