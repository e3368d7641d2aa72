/// Which places of a worker are not to be trusted for a while: slots, copies of data sets, or the
/// worker as a whole.
///
/// An attempt that ends before its first step says little of its job and much of its place: a
/// broken driver, an empty data folder. A place where it happens again and again is suspect:
/// nothing starts there until a pause is over; then one attempt may (the probe), and the pause
/// begins anew. Each probe that fails doubles the pause; an attempt that takes a step there ends
/// the suspicion.
///
/// | place        | suspect after                                                               |
/// |--------------|-----------------------------------------------------------------------------|
/// | a data set   | one attempt that found it missing or damaged                                |
/// | a slot       | two failures in a row, of different jobs: one job may be at fault itself    |
/// | the worker   | three failures in a row, of different jobs, while nothing trains on it      |
///
/// Pure; times are steady. Thread-compatible.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "spec/job_spec.h"

namespace bsnn::policy {

inline constexpr int kDataFailuresToSuspect = 1;
inline constexpr int kSlotFailuresToSuspect = 2;
inline constexpr int kWorkerFailuresToSuspect = 3;
inline constexpr absl::Duration kFirstPause = absl::Seconds(30);
inline constexpr absl::Duration kPauseMax = absl::Minutes(10);

/// Of one place.
class Health {
 public:
  explicit Health(int failures_to_suspect) : failures_to_suspect_(failures_to_suspect) {}

  void AddFailure(int64_t job, absl::Duration now, std::string reason);
  /// An attempt starts there.
  void BeginProbe(absl::Duration now);

  bool IsSuspect() const { return failures_ >= failures_to_suspect_; }
  /// Whether an attempt may start there.
  bool IsOpen(absl::Duration now) const { return now >= pause_ends_; }
  absl::Duration pause_ends() const { return pause_ends_; }
  /// Of the newest failure, for people.
  const std::string& reason() const { return reason_; }

 private:
  int failures_to_suspect_;
  int failures_ = 0;  // in a row; those of one job count once, until the place is suspect
  int64_t last_job_ = 0;
  absl::Duration pause_ends_ = -absl::InfiniteDuration();
  std::string reason_;
};

/// Of all places of one worker.
class WorkerHealth {
 public:
  /// An attempt of `job` ended on `slot` before its first step, by no fault of its spec.
  /// `others_train`: another attempt on this worker has taken a step, so the worker as such works.
  struct Failure {
    int64_t job = 0;
    int32_t slot = 0;
    bool others_train = false;
    std::string reason;
  };
  void AddFailure(absl::Duration now, const Failure& failure);
  /// An attempt of `job` found the data set missing or damaged.
  void AddDataFailure(absl::Duration now, spec::DataName data, int64_t job, std::string reason);
  /// An attempt starts: where a place of it is suspect, it is the only one until the pause is over.
  void BeginAttempt(absl::Duration now, int32_t slot, spec::DataName data);
  /// An attempt took a step. Gives whether any place of it was suspect.
  bool TrustPlaces(int32_t slot, spec::DataName data);

  bool IsOpen(absl::Duration now) const { return worker_.IsOpen(now); }
  bool IsOpen(absl::Duration now, int32_t slot) const;
  bool IsOpen(absl::Duration now, spec::DataName data) const;
  /// Whether an attempt may start on the slot with the data set.
  bool MayStart(absl::Duration now, int32_t slot, spec::DataName data) const {
    return IsOpen(now) && IsOpen(now, slot) && IsOpen(now, data);
  }
  /// Whether any place is suspect.
  bool HasSuspect() const;
  /// Data sets that no attempt may be started with now.
  std::set<spec::DataName> ClosedData(absl::Duration now) const;
  /// When the next pause ends; InfiniteDuration where there is none.
  absl::Duration NextOpening(absl::Duration now) const;
  /// What is suspect and why, for people; "" for nothing.
  std::string Describe(absl::Duration now) const;

 private:
  std::map<int32_t, Health> slots_;
  std::map<spec::DataName, Health> data_;
  Health worker_{kWorkerFailuresToSuspect};
};

}  // namespace bsnn::policy
