#include "server/cluster/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/cluster/job_states.h"

namespace bsnn::cluster {
namespace {

/// Applies each kind of mutation to the facts.
class Applier {
 public:
  Applier(Facts& facts, Touched& touched) : facts_(facts), touched_(touched) {}

  void operator()(const store::CreateJob& change) {
    const int64_t sequence = change.job.sequence;
    BSNN_CHECK(!facts_.jobs_by_id.contains(change.job.id.value()) &&
               !facts_.jobs.contains(sequence));
    Job& job = facts_.jobs[sequence];
    job.record = change.job;
    facts_.last_sequence = std::max(facts_.last_sequence, sequence);
    facts_.retired.Erase(job.record.id);
    facts_.jobs_by_id[job.record.id.value()] = sequence;
    if (!job.record.request_id.empty()) facts_.jobs_by_request[job.record.request_id] = sequence;
    facts_.jobs_by_state[IndexOf(job.status().state)].insert(sequence);
    ChangeOf(job).status = true;
  }

  void operator()(const store::UpdateJob& change) {
    Job& job = JobOf(change.job);
    const store::JobState before = job.status().state;
    job.record.status = change.status;
    Touched::Change& touched = ChangeOf(job);
    touched.status = true;
    if (before == change.status.state) return;
    facts_.jobs_by_state[IndexOf(before)].erase(job.record.sequence);
    facts_.jobs_by_state[IndexOf(change.status.state)].insert(job.record.sequence);
    touched.ended |= IsFinal(change.status.state);
  }

  void operator()(const store::DeleteJob& change) {
    Job& job = JobOf(change.job);
    const int64_t sequence = job.record.sequence;
    ReleaseSlot(job);
    Touched::Change& touched = ChangeOf(job);
    touched.status = touched.deleted = true;
    if (change.newest_epoch > 0) facts_.retired.Put(change.job, change.newest_epoch);
    facts_.jobs_by_state[IndexOf(job.status().state)].erase(sequence);
    facts_.jobs_by_request.erase(job.record.request_id);
    facts_.jobs_by_id.erase(job.record.id.value());
    facts_.jobs.erase(sequence);
  }

  void operator()(const store::PutAttempt& change) {
    Job& job = JobOf(change.job);
    Touched::Change& touched = ChangeOf(job);
    touched.status = true;
    if (!job.attempts.empty() && job.attempts.back().epoch >= change.attempt.epoch) {
      const auto same = std::find_if(
          job.attempts.begin(), job.attempts.end(),
          [&](const store::AttemptRecord& held) { return held.epoch == change.attempt.epoch; });
      if (same == job.attempts.end()) return;  // older than all that are kept
      ReleaseSlot(job);
      *same = change.attempt;
    } else {
      BSNN_CHECK(job.live() == nullptr);
      touched.placed = true;
      if (std::ssize(job.attempts) == base::kAttemptsShownMax) {
        job.attempts.erase(job.attempts.begin());
      }
      job.attempts.push_back(change.attempt);
    }
    TakeSlot(job);
  }

  void operator()(const store::PutCheckpoint& change) {
    Job& job = JobOf(change.checkpoint.job);
    ChangeOf(job);
    job.checkpoints[{change.checkpoint.step, change.checkpoint.attempt_epoch}] = change.checkpoint;
  }

  void operator()(const store::DeleteCheckpoint& change) {
    Job& job = JobOf(change.job);
    ChangeOf(job);
    std::erase_if(job.checkpoints,
                  [&](const auto& item) { return item.second.id == change.checkpoint; });
  }

  void operator()(const store::PutWorker& change) {
    facts_.workers[change.worker.id].record = change.worker;
    touched_.workers.insert(change.worker.id);
  }

  void operator()(const store::DeleteWorker& change) {
    facts_.workers.erase(change.worker);
    touched_.workers.insert(change.worker);
  }

  void operator()(const store::AppendMetrics& change) {
    ChangeOf(JobOf(change.job)).metrics = true;
  }
  void operator()(const store::AppendLogs& change) { ChangeOf(JobOf(change.job)).logs = true; }

 private:
  static size_t IndexOf(store::JobState state) { return static_cast<size_t>(state); }

  Job& JobOf(const base::JobId& id) {
    const auto found = facts_.jobs_by_id.find(id.value());
    BSNN_CHECK(found != facts_.jobs_by_id.end());
    return facts_.jobs.at(found->second);
  }

  Touched::Change& ChangeOf(const Job& job) {
    Touched::Change& change = touched_.jobs[job.record.sequence];
    change.job = job.record.id;
    return change;
  }

  void TakeSlot(const Job& job) {
    const store::AttemptRecord* const live = job.live();
    if (live == nullptr) return;
    const auto worker = facts_.workers.find(live->worker);
    BSNN_CHECK(worker != facts_.workers.end());
    const auto [slot, taken] = worker->second.used.emplace(live->slot, job.record.sequence);
    BSNN_CHECK(taken);
    touched_.workers.insert(live->worker);
  }

  void ReleaseSlot(const Job& job) {
    const store::AttemptRecord* const live = job.live();
    if (live == nullptr) return;
    const auto worker = facts_.workers.find(live->worker);
    if (worker == facts_.workers.end()) return;
    worker->second.used.erase(live->slot);
    touched_.workers.insert(live->worker);
  }

  Facts& facts_;
  Touched& touched_;
};

absl::Status Contradiction(const base::JobId& job, std::string_view what) {
  return absl::DataLossError(
      fmt::format("the store contradicts itself: job {} {}; restore a backup, or remove the job "
                  "from the database",
                  job.value(), what));
}

/// What Apply would end the program for.
absl::Status CheckLoaded(const store::LoadedJob& loaded, const Facts& facts) {
  const base::JobId& id = loaded.job.id;
  const bool live = !loaded.attempts.empty() && loaded.attempts.back().live();
  if (facts.jobs_by_id.contains(id.value())) return Contradiction(id, "is there twice");
  if (facts.FindJob(loaded.job.sequence) != nullptr) {
    return Contradiction(id, "has the number of another job");
  }
  if (HasAttempt(loaded.job.status.state) != live) {
    return Contradiction(id, fmt::format("is {}, but {} attempt of it is live",
                                         ToWord(loaded.job.status.state), live ? "an" : "no"));
  }
  for (size_t i = 0; i + 1 < loaded.attempts.size(); ++i) {
    if (loaded.attempts[i].live()) return Contradiction(id, "has two live attempts");
  }
  if (!live) return absl::OkStatus();
  const store::AttemptRecord& attempt = loaded.attempts.back();
  const Worker* const worker = facts.FindWorker(attempt.worker);
  if (worker == nullptr) {
    return Contradiction(
        id, fmt::format("runs on worker {}, which is not there", attempt.worker.value()));
  }
  if (worker->used.contains(attempt.slot)) {
    return Contradiction(id, fmt::format("runs on slot {} of worker {}, which another job has",
                                         attempt.slot, attempt.worker.value()));
  }
  return absl::OkStatus();
}

}  // namespace

void Apply(Facts& facts, const store::Mutation& mutation, Touched& touched) {
  std::visit(Applier(facts, touched), mutation);
}

absl::Status Restore(store::LoadedState state, Facts& facts) {
  Touched touched;
  Applier apply(facts, touched);
  for (const auto& retired : state.retired) facts.retired.Put(retired.job, retired.newest_epoch);
  for (store::WorkerRecord& worker : state.workers) {
    apply(store::PutWorker{std::move(worker)});
  }
  for (store::LoadedJob& loaded : state.jobs) {
    RETURN_IF_ERROR(CheckLoaded(loaded, facts));
    const base::JobId id = loaded.job.id;
    apply(store::CreateJob{std::move(loaded.job)});
    for (auto& attempt : loaded.attempts) apply(store::PutAttempt{id, std::move(attempt)});
    for (auto& checkpoint : loaded.checkpoints) apply(store::PutCheckpoint{std::move(checkpoint)});
    touched.jobs.clear();
  }
  facts.last_sequence = std::max(facts.last_sequence, state.last_sequence);
  return absl::OkStatus();
}

}  // namespace bsnn::cluster
