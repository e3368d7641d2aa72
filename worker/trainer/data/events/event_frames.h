/// Data sets of event cameras as pictures of T frames: cut once, and kept beside the recordings.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/data/events/kept_frames.h"

namespace bsnn::trainer {

/// Samples of T frames, in a kept file or, where none could be made, in memory.
class EventFrames {
 public:
  explicit EventFrames(KeptFrames kept) : kept_(std::move(kept)) {}
  EventFrames(std::vector<uint8_t> labels, std::vector<uint8_t> pixels)
      : labels_(std::move(labels)), pixels_(std::move(pixels)) {}

  /// One a sample.
  const std::vector<uint8_t>& labels() const { return kept_ ? kept_->labels() : labels_; }
  /// Sample `index` as [T, 2, side, side] row-major, into `out` of just that size. Any number of
  /// threads. Errors of the kept file, naming it.
  absl::Status Read(int64_t index, std::span<uint8_t> out) const;

 private:
  std::optional<KeptFrames> kept_;
  std::vector<uint8_t> labels_;
  std::vector<uint8_t> pixels_;
};

/// Lists the recordings (event_sources.h), and reads, cuts (frames.h) and fits them: counts beyond
/// 255 are 255, or each frame is divided by its largest count, as spec.frame_values says; then it
/// is resized to spec.frame_side where that is not 0. By duration, recordings with fewer than
/// `steps` frames end in frames of zeros.
///
/// What was made is kept in <folder of the set>/bsnn-frames, under a key of everything it was made
/// from: the fields above, and name, size and time of change of every recording and its piece. A
/// kept file is used only if key, shape and SHA-256 of its content are right; else it is made anew.
/// Files appear whole (temporary file, fsync, rename), and samples are read from them when asked
/// for. Where the folder cannot be written or is full, a warning is logged and frames are held in
/// memory.
///
/// Errors: NotFound; DataLoss naming path, offset and fault of a recording; ResourceExhausted where
/// frames that cannot be kept would take more than 8 GiB of memory.
absl::StatusOr<EventFrames> LoadEventFrames(const spec::DataSpec& spec, int64_t steps,
                                            const std::filesystem::path& folder, bool train);

}  // namespace bsnn::trainer
