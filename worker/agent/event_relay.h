/// The events of one attempt on their way to the coordinator: numbering, batches, acknowledgement,
/// the uploads they ask for, and the rule that Finished goes last.
///
/// Lines of the trainer get new sequence numbers, contiguous from 1, whatever the file says. A line
/// that is no event becomes one warning in its place. An event stays here until it is acknowledged;
/// while HasRoom() is false the caller leaves the rest in the file, so memory is bounded however
/// long the coordinator is away. Finished is given out only when the trainer is gone and no upload
/// is left. Pure; wall times are passed in. Thread-compatible.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spec/event.h"

namespace bsnn::agent {

/// How a trainer's process ended, for the event that says so where the trainer could not.
struct TrainerEnd {
  int exit_code = 0;           ///< 0 to 255; meaningless where `signal` is not 0
  int signal = 0;              ///< what killed it; 0 where it exited
  std::string why_ended = {};  ///< "" or why the worker ended it, such as "not stopped within 30s"
  std::string log_tail = {};   ///< last lines of its log
};

/// A checkpoint on its way to the coordinator.
struct PendingUpload {
  spec::CheckpointWritten checkpoint;
  /// Events up to it were reported before the checkpoint: whoever resumes from the checkpoint must
  /// find them, so they go first.
  int64_t after_event_sequence = 0;
};

class EventRelay {
 public:
  EventRelay();

  /// False: leave further lines in the file for now.
  bool HasRoom() const;

  /// One line of the trainer. Lines after Finished are dropped.
  void TakeLine(std::string_view line, absl::Time now);
  /// In place of a line that could not be read.
  void TakeFault(std::string_view what, absl::Time now);
  /// An event of the worker itself.
  void AddLog(spec::Severity severity, std::string_view message, absl::Time now);

  /// The trainer is gone and its file has been read. Adds Finished, and the end of its log, where
  /// it said none.
  void EndTrainer(const TrainerEnd& end, absl::Time now);
  /// No trainer ran: the attempt ends with this.
  void EndWithout(const spec::Finished& finished, absl::Time now);

  /// The next events to publish, oldest first: at most kEventsPerBatchMax and about 2 MiB; empty
  /// where nothing may go now. The same events again until they are acknowledged.
  std::vector<spec::Event> Batch() const;
  /// Every event up to `sequence` is durable.
  void Acknowledge(int64_t sequence);
  /// The coordinator will never take the batch as it is (InvalidArgument). A longer batch is
  /// halved next time; one event becomes a warning; a Finished becomes a failed one.
  void Refuse(std::string_view why, absl::Time now);
  /// The coordinator misses the checkpoint that Finished{succeeded} names: it is to be uploaded
  /// again, at most three times; then the attempt ends as failed.
  void CheckpointMissing(absl::Time now);
  /// The coordinator lost what it had acknowledged: go on from `sequence` + 1.
  void ContinueAfter(int64_t sequence);

  /// The oldest checkpoint waiting for its upload, once the events before it are acknowledged; it
  /// stays until UploadEnded.
  std::optional<PendingUpload> NextUpload() const;
  /// Size of all checkpoints that wait.
  int64_t UploadBytes() const;
  /// The upload came to its end: published, or given up for good with `status`.
  void UploadEnded(const spec::CheckpointWritten& checkpoint, const absl::Status& status,
                   absl::Time now);

  /// Read from the trainer and not acknowledged yet.
  int64_t pending() const { return static_cast<int64_t>(events_.size()); }
  bool trainer_ended() const { return ended_; }
  /// The trainer's Finished has been read and not given out yet.
  bool has_finished() const { return finished_.has_value(); }
  /// Finished is durable: nothing is left to say.
  bool finished() const { return finished_acknowledged_; }

 private:
  void Append(decltype(spec::Event::kind) kind, absl::Time time);
  void Release();
  void Withdraw();
  spec::Finished Fallback(const TrainerEnd& end) const;
  bool SaidAll() const;

  std::deque<spec::Event> events_;  ///< not acknowledged, contiguous; Finished, where there, last
  std::optional<spec::Event> finished_;  ///< held back until ended_ and no upload is left
  std::deque<PendingUpload> uploads_;
  std::optional<spec::CheckpointWritten> newest_;
  int64_t next_sequence_ = 1;
  int64_t acknowledged_ = 0;
  int64_t newest_step_ = 0;
  int reuploads_ = 0;
  size_t batch_limit_;
  bool ended_ = false;
  bool finished_acknowledged_ = false;
};

}  // namespace bsnn::agent
