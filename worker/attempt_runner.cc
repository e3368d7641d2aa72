#include "worker/attempt_runner.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "base/logging.h"
#include "base/status.h"
#include "worker/session/checkpoint_restore.h"

namespace bsnn::worker {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPoll = absl::Milliseconds(100);
// A trainer that has said Finished and does not exit is taken for hung.
constexpr absl::Duration kExitGrace = absl::Seconds(30);
constexpr size_t kLinesPerRead = 500;
constexpr uint64_t kLogTailBytes = 4 << 10;
constexpr uint64_t kLogKeptBytes = 32 << 10;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

int ThreadsFor(const agent::Order& order, const Config& config, size_t slots) {
  if (order.spec.resources.threads > 0) return order.spec.resources.threads;
  if (config.threads_per_slot > 0) return config.threads_per_slot;
  const auto shared = std::thread::hardware_concurrency() / std::max<size_t>(slots, 1);
  return std::max(1, static_cast<int>(shared));
}

}  // namespace

AttemptRunner::AttemptRunner(const AttemptTools& tools, agent::Order order)
    : tools_(tools),
      order_(std::move(order)),
      folder_(tools.work.AttemptPath(order_.key)),
      tail_(folder_ / "events.jsonl", base::kEventLineBytesMax),
      reporter_({.key = order_.key,
                 .folder = folder_,
                 .clock = tools.clock,
                 .client = tools.client,
                 .channel = tools.channel,
                 .fenced = [this] { KillTrainer(); },
                 .changed = tools.changed}) {
  supervisor_ = std::thread([this] { Supervise(); });
  ::pthread_setname_np(supervisor_.native_handle(), "attempt");
}

AttemptRunner::~AttemptRunner() {
  Kill();
  supervisor_.join();
}

void AttemptRunner::Stop(absl::Duration grace) {
  {
    const absl::MutexLock lock(&mutex_);
    plan_.Stop(tools_.clock.Steady(), grace);
    if (phase_ != agent::Phase::kEnded) phase_ = agent::Phase::kStopping;
    changed_.SignalAll();
  }
  prepare_calls_.Cancel();
}

void AttemptRunner::Kill() {
  reporter_.Kill();
  KillTrainer();
}

void AttemptRunner::KillTrainer() {
  {
    const absl::MutexLock lock(&mutex_);
    plan_.Kill(tools_.clock.Steady());
    changed_.SignalAll();
  }
  prepare_calls_.Cancel();
}

agent::Report AttemptRunner::GetReport() const {
  const int64_t pending = reporter_.pending();
  const int64_t upload_bytes_left = reporter_.upload_bytes_left();
  const absl::MutexLock lock(&mutex_);
  return {.key = order_.key,
          .phase = phase_,
          .events_pending = pending,
          .upload_bytes_left = upload_bytes_left};
}

bool AttemptRunner::IsDone() const {
  const absl::MutexLock lock(&mutex_);
  return !supervised_ && reporter_.IsDone();
}

bool AttemptRunner::IsStopping() const {
  const absl::MutexLock lock(&mutex_);
  return plan_.stopping();
}

void AttemptRunner::SetPhase(agent::Phase phase) {
  {
    const absl::MutexLock lock(&mutex_);
    const bool stopping = phase != agent::Phase::kEnded && plan_.stopping();
    phase_ = stopping ? agent::Phase::kStopping : phase;
  }
  tools_.changed();
}

void AttemptRunner::Supervise() {
  absl::StatusOr<Process> process = Prepare();
  if (process.ok()) {
    base::LogInfo(fmt::format("event=trainer_started attempt={} pid={}", order_.key.ToText(),
                              (*process)->pid()));
    SetPhase(agent::Phase::kTraining);
    const launcher::ExitState exit = Watch(**process);
    base::LogInfo(fmt::format("event=trainer_ended attempt={} exit_code={} signal={}",
                              order_.key.ToText(), exit.exit_code, exit.signal));
    EndStarted(exit);
  } else {
    EndUnstarted(process.status());
  }
  {
    const absl::MutexLock lock(&mutex_);
    supervised_ = false;
  }
  tools_.changed();
}

absl::StatusOr<AttemptRunner::Process> AttemptRunner::Prepare() {
  if (!order_.fault.empty()) return absl::FailedPreconditionError(order_.fault);
  const absl::Status stopped = absl::CancelledError("stopped before the trainer started");
  if (IsStopping()) return stopped;
  RETURN_IF_ERROR(
      tools_.work.CheckFree(static_cast<uint64_t>(tools_.config.disk_free_min_mib) << 20));
  RETURN_IF_ERROR(launcher::MakeAttemptFolder(folder_, order_.spec));
  const absl::Status restored = RestoreCheckpoint();
  if (IsStopping()) return stopped;
  RETURN_IF_ERROR(restored);
  return Launch();
}

absl::Status AttemptRunner::RestoreCheckpoint() {
  if (order_.checkpoints.empty()) return absl::OkStatus();
  const session::Restore restore{
      .job = order_.key.job,
      .checkpoints = order_.checkpoints,
      .folder = folder_ / "checkpoints",
      .backoff = {.first = absl::Milliseconds(200), .max = absl::Seconds(5)},
      .bits = base::SystemRandomBits(),
      .check_free = [this](uint64_t bytes) { return tools_.work.CheckFree(bytes); },
      .warn =
          [this](const std::string& text) { reporter_.AddLog(spec::Severity::kWarning, text); }};
  ASSIGN_OR_RETURN(const fs::path restored,
                   session::RestoreNewest(tools_.channel, restore, prepare_calls_));
  if (restored.empty()) {
    reporter_.AddLog(spec::Severity::kWarning,
                     fmt::format("none of the job's {} newest checkpoints could be restored; "
                                 "starting from the beginning",
                                 order_.checkpoints.size()));
    return absl::OkStatus();
  }
  base::LogInfo(fmt::format("event=checkpoint_restored attempt={} folder={}", order_.key.ToText(),
                            restored.filename().string()));
  return absl::OkStatus();
}

absl::StatusOr<AttemptRunner::Process> AttemptRunner::Launch() {
  const auto& slots = tools_.client.identity().slots;
  const agent::Slot& slot = slots.at(static_cast<size_t>(order_.slot));
  const std::string threads = std::to_string(ThreadsFor(order_, tools_.config, slots.size()));
  launcher::ProcessOptions options{
      .program = tools_.config.trainer,
      .arguments = {"--spec", (folder_ / "spec.json").string(), "--data",
                    tools_.config.data.string(), "--out", folder_.string(), "--resume", "--device",
                    slot.device == "cuda" ? "cuda:0" : "cpu", "--threads", threads},
      .environment = tools_.config.environment,
      .output = folder_ / "trainer.log"};
  options.environment.push_back("CUDA_VISIBLE_DEVICES=" + slot.cuda_visible);
  return launcher::TrainerProcess::Start(options);
}

launcher::ExitState AttemptRunner::Watch(launcher::TrainerProcess& process) {
  std::optional<absl::Duration> finished_at;
  while (true) {
    if (const auto exit = process.TryReap()) return *exit;
    ReadEvents();
    TrimTrainerLog();
    const absl::Duration now = tools_.clock.Steady();
    if (!finished_at && reporter_.HasFinished()) finished_at = now;
    if (finished_at && now > *finished_at + kExitGrace) process.Kill();
    auto step = agent::StopPlan::Step::kNone;
    {
      const absl::MutexLock lock(&mutex_);
      step = plan_.Next(now);
      if (step == agent::StopPlan::Step::kNone) changed_.WaitWithTimeout(&mutex_, kPoll);
    }
    if (step == agent::StopPlan::Step::kAsk) process.AskToStop();
    if (step == agent::StopPlan::Step::kKill) process.Kill();
  }
}

void AttemptRunner::TrimTrainerLog() {
  const absl::Status status = launcher::TrimLog(
      folder_ / "trainer.log", static_cast<uint64_t>(tools_.config.trainer_log_max_kib) << 10,
      kLogKeptBytes);
  if (!status.ok()) {
    base::LogDebug(fmt::format("event=log_not_trimmed error=\"{}\"", Text(status)));
  }
}

bool AttemptRunner::ReadEvents() {
  if (tail_broken_ || !reporter_.HasRoom()) return false;
  const auto items = tail_.Read(kLinesPerRead);
  if (!items.ok()) {
    tail_broken_ = true;
    reporter_.AddLog(spec::Severity::kError,
                     fmt::format("the trainer's events cannot be read: {}", Text(items.status())));
    return false;
  }
  if (items->empty()) return false;
  reporter_.Take(*items);
  return true;
}

void AttemptRunner::EndStarted(const launcher::ExitState& exit) {
  SetPhase(agent::Phase::kEnded);
  while (reporter_.WaitForRoom() && ReadEvents()) {
  }
  agent::TrainerEnd end{.exit_code = exit.exit_code,
                        .signal = exit.signal,
                        .why_ended = "",
                        .log_tail = launcher::ReadLogTail(folder_ / "trainer.log", kLogTailBytes)};
  const std::string torn = tail_.TornEnd();
  if (!torn.empty()) reporter_.Take({{"", torn}});
  {
    const absl::MutexLock lock(&mutex_);
    if (plan_.killed()) {
      end.why_ended = fmt::format("it did not stop within {}", absl::FormatDuration(plan_.grace()));
    }
  }
  reporter_.EndTrainer(end);
}

void AttemptRunner::EndUnstarted(const absl::Status& status) {
  spec::Finished finished;
  finished.accuracy_ratio = std::numeric_limits<double>::quiet_NaN();
  finished.message = Text(status);
  if (absl::IsCancelled(status)) {
    finished.outcome = spec::Outcome::kStopped;
  } else {
    finished.outcome = spec::Outcome::kFailed;
    finished.failure = spec::TrainerFailure::kInfrastructure;
    base::LogError(fmt::format("event=attempt_not_started attempt={} error=\"{}\"",
                               order_.key.ToText(), Text(status)));
  }
  reporter_.EndWithout(finished);
  SetPhase(agent::Phase::kEnded);
}

}  // namespace bsnn::worker
