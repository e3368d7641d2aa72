#include "server/scheduler/core.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/status.h"

namespace bsnn::scheduler {

Core::Core(const Options& options, store::JobStore& store, base::RandomBits bits)
    : options_(options), store_(store), bits_(std::move(bits)) {}

store::AttemptRecord* Core::Job::live() {
  return !attempts.empty() && attempts.back().live() ? &attempts.back() : nullptr;
}
const store::AttemptRecord* Core::Job::live() const {
  return !attempts.empty() && attempts.back().live() ? &attempts.back() : nullptr;
}

absl::Status Core::Load(Instant now) {
  ASSIGN_OR_RETURN(store::LoadedState state, store_.LoadAll());
  last_sequence_ = state.last_sequence;
  for (const auto& retired : state.retired) retired_[retired.job] = retired.newest_epoch;
  for (auto& record : state.workers) {
    Worker& worker = workers_[record.id];
    worker.record = std::move(record);
    worker.last_seen = now.steady;
    SetTimer(now.steady + LeaseOf(worker), worker);
  }
  for (auto& loaded : state.jobs) AddLoaded(now, std::move(loaded));
  return absl::OkStatus();
}

void Core::AddLoaded(Instant now, store::LoadedJob loaded) {
  const int64_t sequence = loaded.job.sequence;
  Job& job = jobs_[sequence];
  job.record = std::move(loaded.job);
  job.attempts.assign(loaded.attempts.begin(), loaded.attempts.end());
  for (auto& checkpoint : loaded.checkpoints) {
    const CheckpointCursor at{checkpoint.step, checkpoint.attempt_epoch};
    job.checkpoints[at] = std::move(checkpoint);
  }
  by_id_[job.record.id] = sequence;
  if (!job.record.request_id.empty()) by_request_[job.record.request_id] = sequence;
  ++jobs_by_state_[static_cast<size_t>(job.status().state)];
  for (const auto& point : loaded.latest) Show(job, point);

  const auto& scheduling = job.record.spec->scheduling;
  job.deadline = absl::InfiniteDuration();
  if (scheduling.deadline_seconds > 0 && job.status().start_time != absl::InfiniteFuture()) {
    job.deadline = now.steady + (job.status().start_time +
                                 absl::Seconds(scheduling.deadline_seconds) - now.wall);
  }
  job.release = now.steady;
  job.due = absl::InfiniteDuration();
  if (IsFinal(job.status().state)) return;
  if (job.status().newest_epoch > 0) exposed_.insert(sequence);
  if (job.deadline != absl::InfiniteDuration()) SetTimer(job.deadline, job);
  if (job.status().state == JobState::kQueued) {
    job.ready_since = now.steady;
    SetDue(job, now.steady + std::max(absl::ZeroDuration(), job.status().not_before - now.wall));
    return;
  }
  const store::AttemptRecord* live = job.live();
  BSNN_CHECK(live != nullptr);
  const auto worker = workers_.find(live->worker);
  BSNN_CHECK(worker != workers_.end());  // written before the attempt was
  worker->second.used[live->slot] = sequence;
  const absl::Duration limit =
      job.status().state == JobState::kStarting ? options_.start_limit
      : job.status().state == JobState::kRunning
          ? HangLimit(job)
          : absl::Seconds(scheduling.grace_seconds) + options_.cancel_margin;
  SetDue(job, now.steady + limit);
}

Core::Job* Core::Find(const base::JobId& job) {
  const auto found = by_id_.find(job);
  return found == by_id_.end() ? nullptr : &jobs_.at(found->second);
}
const Core::Job* Core::Find(const base::JobId& job) const {
  const auto found = by_id_.find(job);
  return found == by_id_.end() ? nullptr : &jobs_.at(found->second);
}

namespace {
absl::Status NoJob(const base::JobId& job) {
  return base::WithReason(absl::NotFoundError(fmt::format("there is no job {}", job.value())),
                          {"JOB_NOT_FOUND", {{"job", job.value()}}});
}
}  // namespace

absl::StatusOr<Core::Job*> Core::Get(const base::JobId& job) {
  if (Job* found = Find(job)) return found;
  return NoJob(job);
}
absl::StatusOr<const Core::Job*> Core::Get(const base::JobId& job) const {
  if (const Job* found = Find(job)) return found;
  return NoJob(job);
}

void Core::Write(Job& job, store::Mutation mutation) {
  ChangeOf(job);
  batch_.push_back(std::move(mutation));
}

void Core::Touch(Job& job, Instant now) {
  job.record.status.update_time = now.wall;
  ChangeOf(job).status = true;
  touched_.insert(job.record.sequence);
}

JobChange& Core::ChangeOf(const Job& job) {
  JobChange& change = changes_[job.record.sequence];
  change.job = job.record.id;
  return change;
}

store::Ticket Core::Commit() {
  for (const int64_t sequence : touched_) {
    const auto found = jobs_.find(sequence);
    if (found == jobs_.end()) continue;
    batch_.push_back(store::UpdateJob{found->second.record.id, found->second.record.status});
  }
  touched_.clear();
  if (batch_.empty()) return last_ticket_;
  last_ticket_ = store_.Enqueue(std::move(batch_));
  batch_.clear();
  for (const auto& [sequence, change] : changes_) {
    const auto found = jobs_.find(sequence);
    if (found != jobs_.end()) found->second.ticket = last_ticket_;
  }
  return last_ticket_;
}

std::vector<JobChange> Core::TakeChanges() {
  std::vector<JobChange> taken = std::exchange(deleted_, {});
  for (auto& [sequence, change] : changes_) taken.push_back(std::move(change));
  changes_.clear();
  return taken;
}

// ---- Time ----------------------------------------------------------------------------------

void Core::SetTimer(absl::Duration at, const Job& job) {
  if (at != absl::InfiniteDuration()) timers_.push({at, job.record.sequence, {}});
}
void Core::SetTimer(absl::Duration at, Worker& worker) {
  if (at >= worker.timer) return;
  worker.timer = at;
  timers_.push({at, 0, worker.record.id});
}

absl::Duration Core::NextDeadline() const {
  return timers_.empty() ? absl::InfiniteDuration() : timers_.top().at;
}

void Core::Advance(Instant now) {
  while (!timers_.empty() && timers_.top().at <= now.steady) {
    const Timer timer = timers_.top();
    timers_.pop();
    if (timer.job != 0) {
      const auto found = jobs_.find(timer.job);
      if (found != jobs_.end()) Review(now, found->second, timer.at);
      continue;
    }
    const auto found = workers_.find(timer.worker);
    if (found != workers_.end()) Review(now, found->second, timer.at);
  }
  Place(now);
}

void Core::Review(Instant now, Job& job, absl::Duration at) {
  const JobState state = job.status().state;
  if (at == job.timer) job.timer = absl::InfiniteDuration();
  if (IsFinal(state)) {
    if (job.release <= now.steady && exposed_.erase(job.record.sequence) > 0) {
      job.series = std::make_shared<SeriesTable>();
      job.series_index.clear();
      job.values = {};
    }
    return;
  }
  if (job.deadline <= now.steady && state != JobState::kCancelling) {
    const std::string message = fmt::format("it ran for longer than its deadline of {} s",
                                            job.record.spec->scheduling.deadline_seconds);
    if (job.live()) EndAttempt(now, job, FailureClass::kDeadline, message);
    return EndJob(now, job, Trigger::kExpired, FailureClass::kDeadline, message);
  }
  if (job.due > now.steady) return SetDue(job, job.due);
  // As for workers: what is judged much too late gets the time of a lease to speak.
  if (job.live() && now.steady - job.due > options_.lease / 2) {
    return SetDue(job, now.steady + options_.lease);
  }
  switch (state) {
    case JobState::kQueued:
      if (!job.ready) {
        job.ready = true;
        job.ready_since = now.steady;
        ready_.Insert(EntryOf(job));
      }
      return;
    case JobState::kStarting:
      return LoseAttempt(now, job, FailureClass::kHang,
                         fmt::format("the trainer did not report within {:g} s",
                                     absl::ToDoubleSeconds(options_.start_limit)));
    case JobState::kRunning:
      return LoseAttempt(
          now, job, FailureClass::kHang,
          fmt::format("no step for {:.0f} s; step {} was the last",
                      absl::ToDoubleSeconds(HangLimit(job)), job.status().progress.step));
    default:
      return LoseAttempt(now, job, FailureClass::kNone, "its worker did not end it in time");
  }
}

void Core::Review(Instant now, Worker& worker, absl::Duration at) {
  if (at == worker.timer) worker.timer = absl::InfiniteDuration();
  if (worker.lost) {
    const absl::Duration gone = now.wall - worker.record.last_seen_time;
    if (gone < options_.worker_linger) {
      return SetTimer(now.steady + options_.worker_linger - gone, worker);
    }
    batch_.push_back(store::DeleteWorker{worker.record.id});
    workers_.erase(worker.record.id);
    return;
  }
  const absl::Duration lease = LeaseOf(worker);
  const absl::Duration due = worker.last_seen + lease;
  if (due > now.steady) return SetTimer(due, worker);
  // Much too late: this program itself stood still, and nobody could have called it.
  if (now.steady - at > options_.lease / 2) {
    worker.last_seen = now.steady;
    return SetTimer(now.steady + lease, worker);
  }
  ++counters_.leases_expired;
  LoseWorker(now, worker,
             fmt::format("worker {} was silent for {:g} s", worker.record.id.value(),
                         absl::ToDoubleSeconds(lease)));
}

void Core::Enter(Instant now, Job& job, Trigger trigger) {
  const JobState from = job.status().state;
  const std::optional<JobState> to = Next(from, trigger);
  BSNN_CHECK(to.has_value());
  if (job.ready) {
    ready_.Erase(EntryOf(job));
    job.ready = false;
  }
  --jobs_by_state_[static_cast<size_t>(from)];
  ++jobs_by_state_[static_cast<size_t>(*to)];
  ++counters_.transitions[static_cast<size_t>(*to)];
  job.record.status.state = *to;
  ++job.record.status.version;
  job.due = absl::InfiniteDuration();
  Touch(job, now);
  if (!IsFinal(*to)) return;
  job.record.status.end_time = now.wall;
  job.release = now.steady + options_.series_linger;
  SetTimer(job.release, job);
  ChangeOf(job).ended = true;
}

}  // namespace bsnn::scheduler
