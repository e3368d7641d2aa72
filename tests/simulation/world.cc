#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

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

World::World(uint64_t seed) : random_(seed) {
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
  ledger_.CheckRestart(*scheduler_, now());
  ledger_.CheckScheduler(*scheduler_, now());
}

void World::Crash() {
  scheduler_.reset();
  store_.Crash();
  start_at_ = time_ + Milliseconds(0, Chance(0.3) ? 12'000 : 1000);
}

void World::Step() {
  const absl::Duration step = Milliseconds(1, 400);
  time_ += Fault(0.002) ? step + absl::Seconds(Uniform(1, 20)) : step;
  if (Fault(0.002)) wall_offset_ += absl::Seconds(Uniform(-40, 40));
  if (IsUp() && Fault(0.02)) Crash();
  if (!IsUp() && time_ >= start_at_) Start();
  if (IsUp() && !Fault(0.2)) scheduler_->Tick(now());
  Deliver();
  if (IsUp()) store_.Release(calm_ ? -1 : static_cast<int>(Uniform(0, 6)));
  if (IsUp() && ++steps_ % 8 == 0) ledger_.CheckScheduler(*scheduler_, now());
}

void World::Post(bool for_coordinator, std::function<void()> act) {
  if (Fault(0.03)) return;
  const auto delay = [this] { return Milliseconds(0, Fault(0.03) ? 6000 : 150); };
  if (for_coordinator && Fault(0.03)) messages_.push_back({time_ + delay(), true, act});
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
    if (message.for_coordinator && IsUp() && Fault(0.3)) store_.Release(1);
    if (message.for_coordinator && IsUp() && Fault(0.005)) Crash();
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
    store_.WhenDurable(ticket, [this, view = *std::move(view)] { ledger_.Published(view); });
  }
}

}  // namespace bsnn::simulation
