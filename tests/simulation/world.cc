#include "tests/simulation/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "server/cluster/job_states.h"

namespace bsnn::simulation {
namespace {

scheduler::Options ShortOptions() {
  scheduler::Options options;
  options.lease = absl::Seconds(3);
  options.lost_after = absl::Seconds(8);
  options.recovery_min = absl::Seconds(2);
  options.start_limit = absl::Seconds(15);
  options.hang_limit = absl::Seconds(20);
  options.cancel_margin = absl::Seconds(2);
  options.series_linger = absl::Seconds(5);
  options.worker_linger = absl::Seconds(30);
  return options;
}

}  // namespace

World::World(uint64_t seed) : random_(seed), causes_(ShortOptions().lease) {
  constexpr double kRates[] = {0, 0.3, 1, 1, 3};
  const bool one_kind = Chance(0.25);
  for (double& rate : rates_) rate = one_kind ? 0 : kRates[Uniform(0, 4)];
  if (one_kind) rates_[static_cast<size_t>(Uniform(0, std::ssize(rates_) - 1))] = 3;
  store_.Hold();
  Start();
}

scheduler::Instant World::now() const {
  return {absl::FromUnixSeconds(1'700'000'000) + time_ + wall_offset_, time_ + steady_offset_};
}

bool World::Chance(double probability) {
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

int64_t World::Uniform(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random_);
}

void World::Start() {
  // Steady clocks of two runs of a program have nothing to do with each other.
  steady_offset_ = absl::Seconds(Uniform(0, 100'000));
  telemetry_ = std::make_unique<telemetry::Telemetry>(telemetry::Telemetry::Options{
      .series_per_job_max = base::kSeriesPerJobMax,
      .classify = [](const telemetry::SeriesKey&) { return telemetry::Shown::kPooled; }});
  auto made = scheduler::Scheduler::Make(ShortOptions(), store_, *telemetry_, this,
                                         [this] { return random_(); });
  BSNN_CHECK(made.ok());
  scheduler_ = *std::move(made);
  scheduler_->Begin(now());
  causes_.CoordinatorStarted();
  causes_.Tell(fmt::format("{} the coordinator starts", absl::FormatDuration(time_)));
  if (!dump_.empty() && dump_ != Dump()) {
    ledger_.Fault(fmt::format("a start found\n{}the memory that crashed was\n{}", Dump(), dump_));
  }
  dump_.clear();
  ledger_.CheckRestart(*scheduler_, now());
  ledger_.CheckScheduler(*scheduler_, now());
}

void World::Crash() {
  if (Chance(0.3)) {
    store_.Release(-1);
    dump_ = Dump();
  }
  causes_.Tell(fmt::format("{} the coordinator crashes", absl::FormatDuration(time_)));
  scheduler_.reset();
  store_.Crash();
  start_at_ = time_ + Milliseconds(0, Chance(0.3) ? 12'000 : 1000);
}

void World::Step() {
  const absl::Duration step = Milliseconds(1, 400);
  // A pause of any length up to three leases, or much longer.
  const absl::Duration pause = Milliseconds(0, Chance(0.8) ? 9'000 : 100'000);
  const absl::Duration passed = Fault(Trouble::kPause, 0.002) ? step + pause : step;
  time_ += passed;
  if (IsUp()) causes_.Attention(std::min(passed, absl::Seconds(1)));
  if (Fault(Trouble::kClock, 0.002)) wall_offset_ += absl::Seconds(Uniform(-40, 40));
  if (IsUp() && Fault(Trouble::kCoordinator, 0.02)) Crash();
  if (!IsUp() && time_ >= start_at_) Start();
  if (IsUp() && !Fault(Trouble::kTicks, 0.2)) scheduler_->Tick(now());
  Deliver();
  if (Fault(Trouble::kStore, 0.01)) store_.SetRoom(false);
  if (calm_ || Chance(0.05)) store_.SetRoom(true);
  if (IsUp()) store_.Release(calm_ ? -1 : static_cast<int>(Uniform(0, 6)));
  if (IsUp() && ++steps_ % 8 == 0) {
    ledger_.CheckScheduler(*scheduler_, now());
    CheckWorkConservation();
  }
}

void World::Post(bool for_coordinator, std::function<void()> act) {
  if (Fault(Trouble::kNetwork, 0.03)) return;
  const auto delay = [this] {
    return Milliseconds(0, Fault(Trouble::kNetwork, 0.03) ? 6000 : 150);
  };
  if (for_coordinator && Fault(Trouble::kNetwork, 0.03))
    messages_.push_back({time_ + delay(), true, act});
  messages_.push_back({time_ + delay(), for_coordinator, std::move(act)});
}

void World::Deliver() {
  std::vector<Message> due;
  const auto later = std::stable_partition(messages_.begin(), messages_.end(),
                                           [this](const Message& m) { return m.due > time_; });
  std::move(later, messages_.end(), std::back_inserter(due));
  messages_.erase(later, messages_.end());
  std::stable_sort(due.begin(), due.end(),
                   [](const Message& a, const Message& b) { return a.due < b.due; });
  for (const Message& message : due) {
    if (!message.for_coordinator || IsUp()) message.act();
    // Between any two calls the disk may get further, or the program may end.
    if (message.for_coordinator && IsUp() && !calm_ && Chance(0.3)) store_.Release(1);
    if (message.for_coordinator && IsUp() && Fault(Trouble::kCoordinator, 0.005)) Crash();
  }
}

void World::Send(Call& call, std::function<Answer(int64_t id)> serve) {
  if (call.id != 0 && time_ < call.give_up) return;
  call = {++last_call_, time_ + absl::Seconds(2)};
  Post(true, [this, id = call.id, serve = std::move(serve)] {
    Answer answer = serve(id);
    store_.WhenDurable(answer.ticket, [this, answer = std::move(answer)] {
      answer.leave();
      Post(false, answer.arrive);
    });
  });
}

bool World::Take(Call& call, int64_t id) {
  if (call.id != id) return false;
  call.id = 0;
  return true;
}

void World::OnChanges(store::Ticket ticket, const std::vector<scheduler::JobChange>& changes) {
  for (const auto& change : changes) {
    auto view = scheduler_->GetJob(now(), change.job);
    if (!view.ok()) continue;
    causes_.Tell(fmt::format("{} {} {} epoch {}: {}", absl::FormatDuration(time_),
                             view->record.id.value(), cluster::ToWord(view->record.status.state),
                             view->record.status.newest_epoch, view->state_message));
    causes_.Judge(*view, ledger_);
    const bool placed = !view->attempts.empty() && view->attempts.back().live() &&
                        view->attempts.back().start_time == now().wall;
    if (placed) CheckOrder(*view);
    store_.WhenDurable(ticket, [this, view = *std::move(view)] { ledger_.Published(view); });
  }
}

std::string World::Dump() const {
  std::string text;
  for (const auto& view : scheduler_->ListJobs(now(), {.limit = base::kPageSizeMax}).jobs) {
    const store::JobStatus& status = view.record.status;
    text += fmt::format("{} {} {} v{} e{} restarts {} in a row {} step {} points {} '{}'\n",
                        view.record.sequence, view.record.id.value(), cluster::ToWord(status.state),
                        status.version, status.newest_epoch, status.restart_count,
                        status.failures_in_row, status.progress.step, status.metric_points,
                        status.message);
    for (const store::AttemptRecord& attempt : view.attempts) {
      text +=
          fmt::format("  {} on {} {} slot {} until {} by {} acknowledged {} stop {}\n",
                      attempt.epoch, attempt.worker.value(), attempt.incarnation, attempt.slot,
                      absl::FormatTime(attempt.end_time), cluster::ToWord(attempt.failure_class),
                      attempt.acknowledged_sequence, static_cast<int>(attempt.stop));
    }
    const auto page = scheduler_->ListCheckpoints(view.record.id, std::nullopt, 100);
    for (const auto& checkpoint : page->checkpoints) text += "  " + checkpoint.id.value() + "\n";
  }
  return text;
}

void World::CheckOrder(const scheduler::JobView& placed) {
  const spec::JobSpec spec = placed.record.spec.Unpack();
  for (const auto& view : scheduler_->ListJobs(now(), {.limit = base::kPageSizeMax}).jobs) {
    if (view.pending != scheduler::PendingReason::kWaitingForSlots) continue;
    const spec::JobSpec other = view.record.spec.Unpack();
    const bool goes_before = other.scheduling.priority != spec.scheduling.priority
                                 ? other.scheduling.priority > spec.scheduling.priority
                                 : view.record.sequence < placed.record.sequence;
    const bool fits = other.resources.device == spec.resources.device &&
                      other.data.name == spec.data.name && view.attempts.empty();
    if (goes_before && fits) {
      ledger_.Fault(fmt::format("job {} was placed before job {}", placed.record.id.value(),
                                view.record.id.value()));
    }
  }
}

void World::CheckWorkConservation() {
  // When the trouble has been over for a while, no slot stands idle beside a job that fits it.
  if (!calm_ || time_ - calm_since_ < absl::Seconds(20)) return;
  std::set<std::string> idle;
  for (const auto& worker : scheduler_->ListWorkers(now(), {}, 1000)) {
    if (worker.state == scheduler::WorkerState::kOnline && worker.state_message.empty() &&
        worker.slots_used < std::ssize(worker.record.slots)) {
      idle.insert(worker.record.id.value());
    }
  }
  std::string waiting;
  for (const auto& view : scheduler_->ListJobs(now(), {.limit = 1000}).jobs) {
    if (view.pending != scheduler::PendingReason::kWaitingForSlots) continue;
    std::set<std::string> fitting = idle;
    for (const auto& attempt : view.attempts) {
      if (attempt.failure_class != store::FailureClass::kNone) {
        fitting.erase(attempt.worker.value());
      }
    }
    if (!fitting.empty()) waiting = view.record.id.value();
  }
  idle_beside_waiting_ = waiting.empty() ? 0 : idle_beside_waiting_ + 1;
  if (idle_beside_waiting_ == 3) ledger_.Fault(waiting + " waits beside a free slot that fits");
}

}  // namespace bsnn::simulation
