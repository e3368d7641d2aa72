/// The folder of one attempt below the worker's work folder, and the folder's whole life.
///
/// WORK/attempts/JOB.EPOCH/ is the trainer's output folder; the worker adds spec.json and
/// trainer.log. Nothing in it outlives the worker process: what matters is with the coordinator.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/ids.h"
#include "worker/agent/attempt.h"

namespace bsnn::launcher {

/// Owns WORK for this process. Immutable.
class WorkFolder {
 public:
  /// Makes WORK, takes its lock and removes the attempts of a worker before this one.
  /// FailedPrecondition where another worker holds it.
  static absl::StatusOr<WorkFolder> Open(const std::filesystem::path& path);

  /// Who the worker in this folder is: WORK/id keeps its id and its incarnation. With `id` empty
  /// the id is the one kept, or else `hostname` with a suffix that `bits` draw, so that machines of
  /// one name differ. The incarnation kept before goes into `replaces`.
  struct Identity {
    std::string id;
    std::string replaces;  ///< "" where another id, or none, was kept
  };
  absl::StatusOr<Identity> TakeIdentity(const std::string& id, const std::string& hostname,
                                        const std::string& incarnation,
                                        const base::RandomBits& bits) const;

  /// WORK/attempts/JOB.EPOCH
  std::filesystem::path AttemptPath(const agent::AttemptKey& key) const;
  /// ResourceExhausted, naming both numbers, where fewer than `bytes` are free.
  absl::Status CheckFree(uint64_t bytes) const;

 private:
  WorkFolder(std::filesystem::path path, base::FileDescriptor lock);

  std::filesystem::path path_;
  base::FileDescriptor lock_;
};

/// Makes the attempt's folder with its checkpoints/ and spec.json, anew.
absl::Status MakeAttemptFolder(const std::filesystem::path& folder, const spec::JobSpec& spec);
/// Removes it with everything in it. OK where there is none.
absl::Status RemoveAttemptFolder(const std::filesystem::path& folder);

/// The last whole lines of a log, at most `bytes_max`; "" where there is no log.
std::string ReadLogTail(const std::filesystem::path& log, uint64_t bytes_max);
/// Keeps the last `bytes_kept` of a log that has grown beyond `bytes_max`. The writer must have
/// opened it for appending; what it writes in that moment may be lost.
absl::Status TrimLog(const std::filesystem::path& log, uint64_t bytes_max, uint64_t bytes_kept);

}  // namespace bsnn::launcher
