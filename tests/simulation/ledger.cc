#include "tests/simulation/ledger.h"

#include <fmt/format.h>

#include <set>

#include "base/limits.h"
#include "server/cluster/job_states.h"

namespace bsnn::simulation {

using scheduler::HasAttempt;
using scheduler::IsFinal;
using scheduler::JobState;
using scheduler::ToWord;

void Ledger::Fault(std::string what) {
  if (faults_.size() < 5) faults_.push_back(std::move(what));
}

void Ledger::Created(const std::string& request_id, const scheduler::JobView& view) {
  const std::pair made{view.record.id.value(), view.record.sequence};
  const auto [entry, first] = created_.emplace(request_id, made);
  if (!first && entry->second != made) {
    Fault(fmt::format("request {} made job {} and job {}", request_id, entry->second.first,
                      made.first));
  }
}

void Ledger::Ordered(const std::string& worker, const std::string& incarnation,
                     const scheduler::AttemptOrder& order) {
  if (order.action != scheduler::Action::kRun) return;
  const AttemptId attempt{order.job.value(), order.epoch};
  const Placement placement{worker, incarnation, order.slot};
  const auto [entry, first] = placements_.emplace(attempt, placement);
  if (!first) {
    if (entry->second != placement) {
      Fault(fmt::format("attempt {}.{} was ordered at two places", attempt.first, attempt.second));
    }
    return;
  }
  int32_t& newest = newest_[attempt.first];
  if (attempt.second <= newest) {
    Fault(fmt::format("epoch {} of job {} was ordered after epoch {}", attempt.second,
                      attempt.first, newest));
  }
  newest = std::max(newest, attempt.second);
}

void Ledger::Acknowledged(const AttemptId& attempt, int64_t sequence,
                          const std::vector<spec::Event>& events) {
  for (const spec::Event& event : events) {
    if (event.sequence > sequence) break;
    const auto* point = std::get_if<spec::MetricPoint>(&event.kind);
    if (point == nullptr) continue;
    int32_t& epoch = points_[attempt.first][point->step];
    epoch = std::max(epoch, attempt.second);
  }
}

void Ledger::TrainerStarted(const AttemptId& attempt) {
  if (trainers_.insert(attempt).second) return;
  Fault(fmt::format("attempt {}.{} was run twice", attempt.first, attempt.second));
}

void Ledger::TrainerSucceeded(const AttemptId& attempt, const std::string& digest) {
  successes_[attempt] = digest;
}

void Ledger::Published(const scheduler::JobView& view) {
  const auto& status = view.record.status;
  const int64_t sequence = view.record.sequence;
  const std::string id = view.record.id.value();
  if (deleted_.contains(sequence)) Fault(fmt::format("deleted job {} changed", id));
  int64_t& version = versions_[sequence];
  if (status.version < version) {
    Fault(fmt::format("job {} went from version {} to {}", id, version, status.version));
  }
  version = status.version;
  if (cancelled_.contains(sequence) && !IsFinal(status.state) &&
      status.state != JobState::kCancelling) {
    Fault(fmt::format("job {} is {} after its cancellation", id, ToWord(status.state)));
  }
  const Ending ending{status.state, status.version, status.newest_epoch,
                      status.result ? status.result->checkpoint_digest : ""};
  if (const auto ended = endings_.find(sequence); ended != endings_.end()) {
    if (ended->second != ending) {
      Fault(fmt::format("job {} ended as {} and is {} now", id, ToWord(ended->second.state),
                        ToWord(status.state)));
    }
    return;
  }
  if (!IsFinal(status.state)) return;
  endings_.emplace(sequence, ending);
  if (status.state == JobState::kSucceeded) CheckSuccess(view);
}

void Ledger::CheckSuccess(const scheduler::JobView& view) {
  const std::string id = view.record.id.value();
  if (view.attempts.empty() || !view.record.status.result) {
    return Fault(fmt::format("job {} succeeded without an attempt or a result", id));
  }
  const auto success = successes_.find({id, view.attempts.back().epoch});
  if (success == successes_.end()) {
    return Fault(fmt::format("job {} succeeded, but its attempt {} did not", id,
                             view.attempts.back().epoch));
  }
  if (success->second != view.record.status.result->checkpoint_digest) {
    Fault(fmt::format("job {} has the result {}, its trainer said {}", id,
                      view.record.status.result->checkpoint_digest, success->second));
  }
}

void Ledger::CheckJob(const scheduler::JobView& view,
                      std::map<std::pair<std::string, int32_t>, std::string>& slots) {
  const std::string id = view.record.id.value();
  const JobState state = view.record.status.state;
  if (deleted_.contains(view.record.sequence)) Fault(fmt::format("deleted job {} is back", id));
  int live = 0;
  int32_t epoch = 0;
  for (const auto& attempt : view.attempts) {
    if (attempt.epoch <= epoch) Fault(fmt::format("job {}: epochs do not grow", id));
    epoch = attempt.epoch;
    if (!attempt.live()) continue;
    ++live;
    if (attempt.epoch != view.record.status.newest_epoch) {
      Fault(fmt::format("job {}: attempt {} is live and not the newest", id, attempt.epoch));
    }
    const auto [held, free] = slots.emplace(std::pair(attempt.worker.value(), attempt.slot), id);
    if (!free) {
      Fault(fmt::format("jobs {} and {} share a slot of {}", held->second, id,
                        attempt.worker.value()));
    }
  }
  if (live != (HasAttempt(state) ? 1 : 0)) {
    Fault(fmt::format("job {} is {} with {} live attempts", id, ToWord(state), live));
  }
}

void Ledger::CheckScheduler(const scheduler::Scheduler& scheduler, scheduler::Instant now) {
  std::map<std::pair<std::string, int32_t>, std::string> slots;
  const auto page = scheduler.ListJobs(now, {.limit = base::kPageSizeMax});
  std::array<int64_t, scheduler::kJobStates> states{};
  for (const auto& view : page.jobs) {
    CheckJob(view, slots);
    ++states[static_cast<size_t>(view.record.status.state)];
  }
  const auto snapshot = scheduler.TakeSnapshot(now);
  if (snapshot.jobs != states) Fault("the counts of jobs by state are wrong");
  int64_t used = 0;
  for (const int64_t count : snapshot.slots_used) used += count;
  if (used != std::ssize(slots)) {
    Fault(fmt::format("{} slots are used, {} attempts are live", used, slots.size()));
  }
}

void Ledger::CheckRestart(const scheduler::Scheduler& scheduler, scheduler::Instant now) {
  std::map<int64_t, scheduler::JobView> jobs;
  for (auto& view : scheduler.ListJobs(now, {.limit = base::kPageSizeMax}).jobs) {
    const int64_t sequence = view.record.sequence;
    jobs.emplace(sequence, std::move(view));
  }
  for (const auto& [request, made] : created_) {
    if (!jobs.contains(made.second) && !delete_asked_.contains(made.second)) {
      Fault(fmt::format("job {} was acknowledged and is gone", made.first));
    }
  }
  for (const auto& [sequence, view] : jobs) {
    const auto version = versions_.find(sequence);
    if (version != versions_.end() && view.record.status.version < version->second) {
      Fault(fmt::format("job {} fell back behind what was published", view.record.id.value()));
    }
    for (const auto& attempt : view.attempts) {
      if (attempt.live() && fenced_.contains({view.record.id.value(), attempt.epoch})) {
        Fault(fmt::format("attempt {}.{} is live after it was refused as fenced",
                          view.record.id.value(), attempt.epoch));
      }
    }
  }
}

void Ledger::CheckHistory(const store::HistoryStore& histories, const base::JobId& job,
                          int64_t step) {
  const auto page = histories.ListMetrics(job, {0, base::kMetricPageSizeMax, "", ""});
  std::set<int64_t> kept;
  for (const auto& point : page->points) kept.insert(point.step);
  for (int64_t i = 1; i <= step; ++i) {
    if (kept.contains(i)) continue;
    return Fault(fmt::format("job {} resumes at step {}, and the point of step {} is missing",
                             job.value(), step, i));
  }
}

void Ledger::CheckMetrics(const scheduler::Scheduler& scheduler, scheduler::Instant now,
                          const store::HistoryStore& histories) {
  for (const auto& view : scheduler.ListJobs(now, {.limit = base::kPageSizeMax}).jobs) {
    const std::string id = view.record.id.value();
    const auto page = histories.ListMetrics(view.record.id, {0, base::kMetricPageSizeMax, "", ""});
    std::map<int64_t, double> kept;
    for (const auto& point : page->points) {
      const auto epoch = static_cast<int32_t>(point.value / 1000);
      if (!kept.emplace(point.step, point.value).second) Fault("a point is there twice");
      if (!trainers_.contains({id, epoch}) || point.value != PointValue(epoch, point.step)) {
        Fault(fmt::format("job {} has a point that no trainer reported: {}", id, point.value));
      }
    }
    // An id may have been used before: only epochs of this job's attempts count.
    if (view.attempts.empty()) continue;
    for (const auto& [step, epoch] : points_[id]) {
      if (epoch < view.attempts.front().epoch) continue;
      const auto found = kept.find(step);
      if (found == kept.end() || found->second < PointValue(epoch, step)) {
        Fault(fmt::format("job {} lost the point of step {} that attempt {} reported", id, step,
                          epoch));
      }
    }
  }
}

}  // namespace bsnn::simulation
