#include "worker/worker.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "base/logging.h"
#include "base/retry.h"
#include "base/status.h"
#include "wire/channel.h"
#include "worker/device/slots.h"

namespace bsnn::worker {
namespace {

/// A dead connection is noticed, and another one tried, within a lease of the coordinator's
/// default: TCP alone repeats itself ever more seldom, and would be heard only long after a pause.
constexpr wire::ChannelOptions kChannelOptions = {.keepalive_time = absl::Seconds(5),
                                                  .keepalive_timeout = absl::Seconds(5)};

constexpr base::BackoffOptions kBackoff{.first = absl::Milliseconds(200), .max = absl::Seconds(2)};

device::SlotOptions SlotOptionsOf(const Config& config) {
  return {.kind = config.device == "cuda"  ? device::Kind::kCuda
                  : config.device == "cpu" ? device::Kind::kCpu
                                           : device::Kind::kAuto,
          .cpu_slots = config.cpu_slots,
          .cuda_visible_devices = config.cuda_visible_devices,
          .cuda_visible_devices_is_set = config.cuda_visible_devices_is_set};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Worker>> Worker::Start(Config config, const base::Clock& clock) {
  ASSIGN_OR_RETURN(launcher::WorkFolder work, launcher::WorkFolder::Open(config.work));
  RETURN_IF_ERROR(work.CheckFree(static_cast<uint64_t>(config.disk_free_min_mib) << 20));
  session::Identity identity;
  ASSIGN_OR_RETURN(identity.slots, device::FindSlots(SlotOptionsOf(config)));
  const base::RandomBits bits = base::SystemRandomBits();
  identity.incarnation = fmt::format("{:016x}{:016x}", bits(), bits());
  ASSIGN_OR_RETURN(const auto kept, work.TakeIdentity(config.id_is_default ? "" : config.id,
                                                      config.id, identity.incarnation, bits));
  ASSIGN_OR_RETURN(identity.id, base::WorkerId::Make(kept.id));
  identity.replaces_incarnation = kept.replaces;
  identity.version = BSNN_VERSION;
  identity.hostname = config.hostname;
  base::LogInfo(fmt::format("event=started worker={} coordinator={} slots={} device={} work={}",
                            identity.id.value(), config.coordinator, identity.slots.size(),
                            identity.slots.front().device, config.work.string()));
  std::unique_ptr<Worker> worker(
      new Worker(std::move(config), clock, std::move(work), std::move(identity)));
  worker->thread_ = std::thread([&self = *worker] { self.Loop(); });
  ::pthread_setname_np(worker->thread_.native_handle(), "synchronize");
  return worker;
}

Worker::Worker(Config config, const base::Clock& clock, launcher::WorkFolder work,
               session::Identity identity)
    : config_(std::move(config)),
      clock_(clock),
      work_(std::move(work)),
      channel_(wire::MakeChannel(config_.coordinator, kChannelOptions)),
      client_(channel_, std::move(identity), absl::Seconds(config_.call_timeout_seconds)),
      tools_{.config = config_,
             .clock = clock_,
             .work = work_,
             .client = client_,
             .channel = channel_,
             .changed = [this] { Wake(); }},
      remover_([this] { Wake(); }),
      table_(static_cast<int>(client_.identity().slots.size())),
      backoff_(kBackoff, base::SystemRandomBits()) {}

Worker::~Worker() {
  Abort();
  if (thread_.joinable()) thread_.join();
}

void Worker::Drain() {
  const absl::MutexLock lock(&mutex_);
  drain_ = true;
  woken_ = true;
}

void Worker::Abort() {
  {
    const absl::MutexLock lock(&mutex_);
    abort_ = true;
    woken_ = true;
  }
  calls_.Cancel();
}

void Worker::Wake() {
  const absl::MutexLock lock(&mutex_);
  woken_ = true;
}

bool Worker::WaitForEnd(absl::Duration duration) {
  const absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&ended_), duration);
}

bool Worker::HasReportedAll() const {
  const absl::MutexLock lock(&mutex_);
  return reported_all_;
}

void Worker::WaitForWake(absl::Duration duration) {
  const absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&woken_), duration);
  woken_ = false;
}

void Worker::Loop() {
  while (true) {
    Sweep();
    if (IsDrained()) break;
    WaitForWake(Round());
    const absl::MutexLock lock(&mutex_);
    if (abort_) break;
  }
  bool reported_all = true;
  for (const auto& [key, runner] : runners_) {
    if (runner->HasReported()) continue;
    reported_all = false;
    base::LogWarning(fmt::format("event=attempt_not_reported attempt={}", key.ToText()));
  }
  for (auto& [key, runner] : runners_) runner->Kill();
  runners_.clear();
  leaving_.clear();
  const absl::MutexLock lock(&mutex_);
  reported_all_ = reported_all;
  ended_ = true;
}

absl::Duration Worker::Round() {
  for (const auto& [key, runner] : runners_) table_.SetState(runner->GetReport());
  bool drain = false;
  {
    const absl::MutexLock lock(&mutex_);
    drain = drain_;
  }
  const absl::Status known = registered_ ? absl::OkStatus() : Register();
  absl::StatusOr<session::Synchronized> answer =
      known.ok() ? client_.Synchronize(table_.Reports(), drain, calls_) : known;
  // After a first call that said so, or could not: the coordinator is not to place what is being
  // stopped here on this worker again.
  if (drain && !drain_begun_) BeginDrain();
  if (!answer.ok()) {
    NoteOutage(answer.status());
    const bool unknown = base::ReasonOf(answer.status()).reason == "WORKER_UNKNOWN";
    if (unknown) registered_ = false;
    return unknown && backoff_.tries() == 0 ? absl::Milliseconds(20) : backoff_.Next();
  }
  if (outage_) base::LogInfo("event=coordinator_is_back");
  outage_ = false;
  backoff_.Reset();
  Execute(table_.ApplyReply(answer->orders));
  return answer->next_call;
}

absl::Status Worker::Register() {
  ASSIGN_OR_RETURN(const absl::Duration lease, client_.Register(calls_));
  registered_ = true;
  base::LogInfo(fmt::format("event=registered worker={} lease_seconds={}",
                            client_.identity().id.value(), absl::ToDoubleSeconds(lease)));
  return absl::OkStatus();
}

void Worker::NoteOutage(const absl::Status& status) {
  const std::string text =
      fmt::format("event=coordinator_call_failed error=\"{}\"", std::string(status.message()));
  // Once for each outage; the rest is for those who look closely.
  base::Log(outage_ ? base::LogLevel::kDebug : base::LogLevel::kWarning, text);
  outage_ = true;
}

void Worker::BeginDrain() {
  const absl::Duration whole = absl::Seconds(config_.drain_seconds);
  drain_begun_ = true;
  drain_deadline_ = clock_.Steady() + whole;
  base::LogInfo(
      fmt::format("event=draining attempts={} seconds={}", runners_.size(), config_.drain_seconds));
  // A quarter is kept for the uploads and reports that follow the trainers' ends.
  Execute(table_.Drain(whole * 3 / 4));
}

bool Worker::IsDrained() {
  if (!drain_begun_) return false;
  if (clock_.Steady() >= drain_deadline_) return true;
  return std::all_of(runners_.begin(), runners_.end(),
                     [](const auto& entry) { return entry.second->HasReported(); });
}

void Worker::Execute(const std::vector<agent::Command>& commands) {
  for (const agent::Command& command : commands) {
    const agent::AttemptKey& key = command.order.key;
    if (command.kind == agent::Command::Kind::kStart) {
      base::LogInfo(fmt::format("event=attempt_started attempt={} slot={}", key.ToText(),
                                command.order.slot));
      runners_[key] = std::make_unique<AttemptRunner>(tools_, command.order);
      continue;
    }
    const auto found = runners_.find(key);
    if (found == runners_.end()) continue;
    if (command.kind == agent::Command::Kind::kStop) {
      found->second->Stop(command.order.grace);
      continue;
    }
    found->second->Kill();
    leaving_.emplace_back(key, std::move(found->second));
    runners_.erase(found);
  }
}

void Worker::Sweep() {
  std::erase_if(leaving_, [this](auto& entry) {
    auto& [key, runner] = entry;
    if (!runner->IsDone()) return false;
    runner.reset();
    remover_.Remove(key, work_.AttemptPath(key));
    return true;
  });
  for (const agent::AttemptKey& key : remover_.TakeRemoved()) {
    base::LogInfo(fmt::format("event=attempt_forgotten attempt={}", key.ToText()));
    table_.Gone(key);
  }
}

}  // namespace bsnn::worker
