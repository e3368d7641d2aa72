#include "server/store/memory/memory_job_store.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace bsnn::store {
namespace {

auto SeriesOf(const spec::MetricPoint& point) {
  return std::tie(point.name, point.layer, point.split, point.time_step);
}

}  // namespace

Ticket MemoryJobStore::Enqueue(Batch batch) {
  BSNN_CHECK(!batch.empty());
  Ticket ticket = 0;
  {
    absl::MutexLock lock(&mutex_);
    ticket = ++last_ticket_;
    waiting_.push_back(std::move(batch));
    if (held_) return ticket;
  }
  Release();
  return ticket;
}

void MemoryJobStore::WhenDurable(Ticket ticket, DurableCallback callback) {
  durability_.When(ticket, std::move(callback));
}

bool MemoryJobStore::HasRoom() const {
  absl::MutexLock lock(&mutex_);
  return room_;
}

void MemoryJobStore::SetRoom(bool room) {
  absl::MutexLock lock(&mutex_);
  room_ = room;
}

void MemoryJobStore::Hold() {
  absl::MutexLock lock(&mutex_);
  held_ = true;
}

void MemoryJobStore::Release(int count) {
  Ticket durable = 0;
  {
    absl::MutexLock lock(&mutex_);
    for (; count != 0 && !waiting_.empty(); --count) {
      for (Mutation& mutation : waiting_.front()) Apply(mutation);
      waiting_.pop_front();
    }
    durable = last_ticket_ - static_cast<Ticket>(waiting_.size());
  }
  durability_.Advance(durable);
}

void MemoryJobStore::Crash() {
  absl::MutexLock lock(&mutex_);
  last_ticket_ -= static_cast<Ticket>(waiting_.size());
  waiting_.clear();
  durability_.Drop();
}

void MemoryJobStore::Apply(Mutation& mutation) {
  std::visit(
      [this](auto& change) {
        mutex_.AssertHeld();
        using Change = std::remove_reference_t<decltype(change)>;
        if constexpr (std::is_same_v<Change, UpdateJob>) {
          jobs_.at(sequences_.at(change.job)).record.status = std::move(change.status);
        } else if constexpr (std::is_same_v<Change, PutAttempt>) {
          jobs_.at(sequences_.at(change.job)).attempts[change.attempt.epoch] =
              std::move(change.attempt);
        } else if constexpr (std::is_same_v<Change, PutCheckpoint>) {
          Job& job = jobs_.at(sequences_.at(change.checkpoint.job));
          job.checkpoints[change.checkpoint.id] = std::move(change.checkpoint);
        } else if constexpr (std::is_same_v<Change, DeleteCheckpoint>) {
          jobs_.at(sequences_.at(change.job)).checkpoints.erase(change.checkpoint);
        } else if constexpr (std::is_same_v<Change, PutWorker>) {
          workers_[change.worker.id] = std::move(change.worker);
        } else if constexpr (std::is_same_v<Change, DeleteWorker>) {
          workers_.erase(change.worker);
        } else {
          Apply(change);
        }
      },
      mutation);
}

void MemoryJobStore::Apply(CreateJob& change) {
  const int64_t sequence = change.job.sequence;
  BSNN_CHECK(sequence > last_sequence_ && !sequences_.contains(change.job.id));
  last_sequence_ = sequence;
  sequences_[change.job.id] = sequence;
  retired_.erase(change.job.id);
  jobs_[sequence].record = std::move(change.job);
}

void MemoryJobStore::Apply(DeleteJob& change) {
  jobs_.erase(sequences_.at(change.job));
  sequences_.erase(change.job);
  if (change.newest_epoch > 0) retired_[change.job] = change.newest_epoch;
}

void MemoryJobStore::Apply(AppendMetrics& change) {
  std::vector<Point>& points = jobs_.at(sequences_.at(change.job)).points;
  for (spec::MetricPoint& point : change.points) {
    std::erase_if(points, [&](const Point& held) {
      return held.point.step == point.step && SeriesOf(held.point) == SeriesOf(point);
    });
    points.push_back({++last_arrival_, std::move(point)});
  }
}

void MemoryJobStore::Apply(AppendLogs& change) {
  std::deque<Line>& lines = jobs_.at(sequences_.at(change.job)).lines;
  for (LogRecord& line : change.lines) lines.push_back({++last_arrival_, std::move(line)});
  while (lines.size() > base::kLogLinesPerJobMax) lines.pop_front();
}

const MemoryJobStore::Job* MemoryJobStore::Find(const base::JobId& job) const {
  const auto found = sequences_.find(job);
  return found == sequences_.end() ? nullptr : &jobs_.at(found->second);
}

absl::StatusOr<LoadedState> MemoryJobStore::LoadAll() {
  absl::MutexLock lock(&mutex_);
  LoadedState state;
  for (const auto& [sequence, job] : jobs_) {
    LoadedJob loaded;
    loaded.job = job.record;
    for (const auto& [epoch, attempt] : job.attempts) loaded.attempts.push_back(attempt);
    if (loaded.attempts.size() > base::kAttemptsShownMax) {
      loaded.attempts.erase(loaded.attempts.begin(),
                            loaded.attempts.end() - base::kAttemptsShownMax);
    }
    for (const auto& [id, checkpoint] : job.checkpoints) loaded.checkpoints.push_back(checkpoint);
    std::sort(loaded.checkpoints.begin(), loaded.checkpoints.end(),
              [](const CheckpointRecord& a, const CheckpointRecord& b) {
                return std::tie(a.attempt_epoch, a.step) < std::tie(b.attempt_epoch, b.step);
              });
    if (job.record.status.state < JobState::kSucceeded) {
      std::map<std::tuple<std::string, std::string, std::string, int32_t>, spec::MetricPoint> last;
      for (const Point& held : job.points) last[SeriesOf(held.point)] = held.point;
      for (auto& [series, point] : last) loaded.latest.push_back(std::move(point));
    }
    state.jobs.push_back(std::move(loaded));
  }
  for (const auto& [id, worker] : workers_) state.workers.push_back(worker);
  for (const auto& [id, epoch] : retired_) state.retired.push_back({id, epoch});
  state.last_sequence = last_sequence_;
  return state;
}

absl::StatusOr<MetricsPage> MemoryJobStore::ListMetrics(const base::JobId& job,
                                                        const MetricsQuery& query) const {
  absl::MutexLock lock(&mutex_);
  MetricsPage page;
  page.cursor = query.after;
  const Job* found = Find(job);
  if (found == nullptr) return page;
  for (const Point& held : found->points) {
    if (held.arrival <= query.after) continue;
    if (!query.name.empty() && held.point.name != query.name) continue;
    if (!query.layer.empty() && held.point.layer != query.layer) continue;
    if (std::ssize(page.points) == query.limit) {
      page.more = true;
      break;
    }
    page.points.push_back(held.point);
    page.cursor = held.arrival;
  }
  return page;
}

absl::StatusOr<LogsPage> MemoryJobStore::ListLogs(const base::JobId& job,
                                                  const LogsQuery& query) const {
  absl::MutexLock lock(&mutex_);
  LogsPage page;
  page.cursor = query.after;
  const Job* found = Find(job);
  if (found == nullptr) return page;
  const auto& lines = found->lines;
  size_t first = 0;
  if (query.after == 0 && query.tail > 0 && lines.size() > static_cast<size_t>(query.tail)) {
    first = lines.size() - static_cast<size_t>(query.tail);
  }
  for (size_t i = first; i < lines.size(); ++i) {
    if (lines[i].arrival <= query.after) continue;
    if (std::ssize(page.lines) == query.limit) {
      page.more = true;
      break;
    }
    page.lines.push_back(lines[i].line);
    page.cursor = lines[i].arrival;
  }
  return page;
}

}  // namespace bsnn::store
