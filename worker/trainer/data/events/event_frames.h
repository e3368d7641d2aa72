/// Data sets of event cameras as pictures of T frames: cut once, and kept beside the recordings.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "spec/job_spec.h"

namespace bsnn::trainer {

struct EventFrames {
  std::vector<uint8_t> pixels;  ///< [N, T, 2, side, side] row-major
  std::vector<uint8_t> labels;  ///< [N]
};

/// Lists the recordings (event_sources.h), and reads, cuts (frames.h) and fits them: counts beyond
/// 255 are 255, or each frame is divided by its largest count, as spec.frame_values says; then it
/// is resized to spec.frame_side where that is not 0. By duration, recordings with fewer than
/// `steps` frames end in frames of zeros.
///
/// What was made is kept in <folder of the set>/bsnn-frames, under a key of everything it was made
/// from: the fields above, and name, size and time of change of every recording and its piece. A
/// kept file is used only if key, shape and SHA-256 of its content are right; else it is made anew.
/// Files appear whole (temporary file, fsync, rename). Where the folder cannot be written, a
/// warning is logged and nothing is kept.
///
/// Errors: NotFound; DataLoss naming path, offset and fault of a recording; ResourceExhausted where
/// the frames would take more than 8 GiB.
absl::StatusOr<EventFrames> LoadEventFrames(const spec::DataSpec& spec, int64_t steps,
                                            const std::filesystem::path& folder, bool train);

}  // namespace bsnn::trainer
