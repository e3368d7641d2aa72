#include "server/scheduler/views.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "server/commands/jobs.h"
#include "server/commands/workers.h"

namespace bsnn::scheduler {
namespace {

using commands::TimerKey;

std::string WaitMessage(const Board& board, const cluster::Job& job) {
  const spec::Device device = job.record.spec.Unpack().resources.device;
  const std::string kind =
      device == spec::Device::kAny ? "" : fmt::format("{} ", spec::ToWord(device));
  const auto reason = board.FindReason(job.record.sequence);
  switch (reason.value_or(policy::WaitReason::kBusy)) {
    case policy::WaitReason::kNoSuchDevice:
    case policy::WaitReason::kNoWorker:
      return fmt::format("waits for a worker: none with a {}slot is online", kind);
    case policy::WaitReason::kSuspect:
      return fmt::format(
          "waits for a worker: attempts failed on every free {}slot before their "
          "first step; they are tried again after a pause",
          kind);
    case policy::WaitReason::kNoData:
      return fmt::format("waits for a worker with the data set {}: none has it",
                         spec::ToWord(job.record.spec.Unpack().data.name));
    case policy::WaitReason::kAvoidsWorkers:
      return "waits for another worker: it failed on those that have a free slot";
    case policy::WaitReason::kBusy:
      break;
  }
  const int32_t before = board.PositionOf(job) - 1;
  return fmt::format("waits for a free {}slot; {} {} before it", kind, before,
                     before == 1 ? "job is" : "jobs are");
}

std::string LiveMessage(const commands::State& state, const cluster::Job& job) {
  const store::AttemptRecord& live = *job.live();
  const std::string& worker = live.worker.value();
  if (live.stop == store::StopReason::kDeadline) {
    return fmt::format("ran past its deadline; worker {} has been asked to stop it", worker);
  }
  if (job.status().state == JobState::kCancelling) {
    return fmt::format("cancelling: worker {} has been asked to stop it", worker);
  }
  const auto seen = state.sightings.workers.find(live.worker);
  if (seen != state.sightings.workers.end() && seen->second.silent) {
    return fmt::format("worker {} is silent; it is started elsewhere where there is a place",
                       worker);
  }
  if (job.status().state == JobState::kStarting) {
    return fmt::format("attempt {} starts on worker {}", live.epoch, worker);
  }
  if (job.status().restart_count == 0) return "trains on worker " + worker;
  return fmt::format("trains on worker {}; restarted {} times, last because: {}", worker,
                     job.status().restart_count, job.status().message);
}

std::string MessageOf(const commands::State& state, const Board& board, absl::Duration now,
                      const cluster::Job& job) {
  if (job.live() != nullptr) return LiveMessage(state, job);
  if (job.status().state != JobState::kQueued) return job.status().message;
  const auto back_off = state.timers.Find({TimerKey::Kind::kBackOff, job.record.sequence});
  if (!back_off) return WaitMessage(board, job);
  return fmt::format("starts again in {:.0f} s: {}",
                     absl::ToDoubleSeconds(std::max(*back_off - now, absl::ZeroDuration())),
                     job.status().message);
}

PendingReason PendingReasonOf(const commands::State& state, const Board& board,
                              const cluster::Job& job) {
  if (job.status().state != JobState::kQueued) return PendingReason::kNone;
  if (state.timers.Has({TimerKey::Kind::kBackOff, job.record.sequence})) {
    return PendingReason::kBackOff;
  }
  return ToPendingReason(board.FindReason(job.record.sequence));
}

/// Walks the jobs of some states from the newest to the oldest.
class NewestFirst {
 public:
  NewestFirst(const cluster::Facts& facts, const std::vector<JobState>& states, int64_t before) {
    for (const JobState state : std::set(states.begin(), states.end())) {
      const auto& jobs = facts.jobs_by_state.at(static_cast<size_t>(state));
      const auto end = before == 0 ? jobs.end() : jobs.lower_bound(before);
      if (end != jobs.begin()) ranges_.push_back({jobs.begin(), std::prev(end)});
    }
  }

  /// The next job's sequence; 0 behind the last.
  int64_t Take() {
    const auto newest =
        std::max_element(ranges_.begin(), ranges_.end(),
                         [](const Range& a, const Range& b) { return *a.next < *b.next; });
    if (newest == ranges_.end()) return 0;
    const int64_t sequence = *newest->next;
    if (newest->next == newest->first) {
      ranges_.erase(newest);
    } else {
      --newest->next;
    }
    return sequence;
  }

 private:
  struct Range {
    absl::btree_set<int64_t>::const_iterator first;
    absl::btree_set<int64_t>::const_iterator next;
  };
  std::vector<Range> ranges_;
};

}  // namespace

JobView ViewOf(const commands::State& state, const Board& board, absl::Duration now,
               const cluster::Job& job) {
  JobView view;
  view.record = job.record;
  view.attempts = job.attempts;
  view.state_message = MessageOf(state, board, now, job);
  view.pending = PendingReasonOf(state, board, job);
  if (job.status().state == JobState::kQueued) view.queue_position = board.PositionOf(job);
  view.etag = commands::EtagOf(job);
  return view;
}

WorkerView ViewOf(const commands::State& state, absl::Duration now, const cluster::Worker& worker) {
  WorkerView view;
  view.record = worker.record;
  const commands::WorkerSighting& seen = state.sightings.workers.at(worker.record.id);
  const absl::Duration silence = now - seen.last_seen;
  if (!worker.record.lost) {
    view.record.last_seen_time = std::max(view.record.last_seen_time, seen.last_seen_wall);
  }
  view.state = commands::StateOf(worker, seen);
  if (view.state == WorkerState::kSilent) {
    view.state_message = fmt::format("has not called for {:.0f} s", absl::ToDoubleSeconds(silence));
  } else if (view.state == WorkerState::kSuspect) {
    view.state_message = seen.health.Describe(now);
  }
  view.slots_used = static_cast<int32_t>(worker.used.size());
  for (const auto& [slot, job] : worker.used) {
    view.jobs.push_back(state.facts.jobs.at(job).record.id);
  }
  return view;
}

ListJobsPage ListJobs(const commands::State& state, const Board& board, absl::Duration now,
                      const ListJobsRequest& request) {
  std::vector<JobState> states = request.states;
  for (int i = 1; request.states.empty() && i < kJobStates; ++i) {
    states.push_back(static_cast<JobState>(i));
  }
  ListJobsPage page;
  NewestFirst walk(state.facts, states, request.before);
  while (const int64_t sequence = walk.Take()) {
    if (std::ssize(page.jobs) == request.limit) {
      page.next_before = page.jobs.back().record.sequence;
      break;
    }
    page.jobs.push_back(ViewOf(state, board, now, state.facts.jobs.at(sequence)));
  }
  return page;
}

CheckpointsPage ListCheckpoints(const cluster::Job& job, std::optional<CheckpointCursor> after,
                                int limit) {
  CheckpointsPage page;
  auto item = after ? job.checkpoints.lower_bound(*after) : job.checkpoints.end();
  while (item != job.checkpoints.begin()) {
    --item;
    if (std::ssize(page.checkpoints) == limit) {
      const auto& last = page.checkpoints.back();
      page.next = CheckpointCursor{last.step, last.attempt_epoch};
      break;
    }
    page.checkpoints.push_back(item->second);
  }
  return page;
}

}  // namespace bsnn::scheduler
