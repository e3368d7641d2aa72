/// Checkpoints beside training: the tensors are copied at once, and written by another thread.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <filesystem>
#include <future>
#include <optional>

#include "base/clock.h"
#include "worker/trainer/checkpoint/checkpoint.h"

namespace bsnn::trainer {

/// A checkpoint that is durable.
struct WrittenCheckpoint {
  artifact::VerifiedCheckpoint checkpoint;
  CheckpointFacts facts;
  absl::Duration write_time;  ///< of the thread beside training
};

/// Confined to the thread that trains. One write at a time: the next one waits for it, so that what
/// training costs in memory is one copy of the state, made once and used again.
///
/// A write is a checkpoint folder (artifact::WriteCheckpointFolder), read back and compared with
/// its digests, and only then retention: an older checkpoint goes when the new one is known good.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path folder, spec::JobSpec spec, const base::Clock& clock)
      : folder_(std::move(folder)), spec_(std::move(spec)), clock_(clock) {}
  /// Waits for the write under way.
  ~CheckpointWriter() = default;
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Copies `state`, whose names, shapes and dtypes are those of the first call, and begins to
  /// write it. Returns once the tensors may change again. FailedPrecondition where a write has not
  /// been taken; ResourceExhausted where no thread can be started.
  absl::Status Start(const TrainingState& state, const CheckpointFacts& facts);

  /// The checkpoint that became durable since the last call, or what kept it from that. Nothing
  /// where none was started or, unless `wait`, where it is still being written.
  absl::StatusOr<std::optional<WrittenCheckpoint>> Take(bool wait);

 private:
  absl::StatusOr<WrittenCheckpoint> Write(const CheckpointFacts& facts) const;

  const std::filesystem::path folder_;
  const spec::JobSpec spec_;
  const base::Clock& clock_;
  TrainingState copy_;  ///< on the CPU; the writing thread's while writing_ is valid
  std::future<absl::StatusOr<WrittenCheckpoint>> writing_;  ///< last: its end waits for the thread
};

}  // namespace bsnn::trainer
