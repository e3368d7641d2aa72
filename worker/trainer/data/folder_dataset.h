/// Pictures in folders, one a class, as ImageNet is kept: train/CLASS/*.JPEG and val/CLASS/*.JPEG.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "worker/trainer/data/dataset.h"

namespace bsnn::trainer {

/// Largest picture file, and most pixels of one picture: what a loader thread may hold at once.
inline constexpr uint64_t kPictureBytesMax = uint64_t{64} << 20;
inline constexpr int64_t kPicturePixelsMax = int64_t{1} << 26;

/// What OpenFolder would give, without listing the pictures: classes are the folders of train, or
/// of val where there is no train.
absl::StatusOr<InputShape> FolderShape(const std::filesystem::path& folder, int32_t side);

/// The pictures of train/ or val/ (kTest) below `folder`: files named .jpg, .jpeg or .png in any
/// case. Classes are numbered by name. The order is the first file (by name) of every class, then
/// the second of every class, and so on, so that the first n are of many classes; `limit` 0 is all.
///
/// A picture is decoded each time it is read. Training: with spec.resized_crop a random box resized
/// to side x side (resize.h), else as in testing; then what augment.h does. Testing: the middle of
/// the resized picture. Normalised with ImageNet's mean and deviation.
///
/// NotFound or DataLoss, naming the folder, where there are no classes, a class has no picture, or
/// val has a class that train has not.
absl::StatusOr<std::unique_ptr<Dataset>> OpenFolder(const std::filesystem::path& folder,
                                                    Split split, int32_t side, int64_t limit);

}  // namespace bsnn::trainer
