#include "tests/simulation/model_worker.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"

namespace bsnn::simulation {
namespace {

std::string DigestOf(std::string_view job, int32_t epoch, int64_t step) {
  return fmt::format("{}.{}.{}", job, epoch, step);
}

AttemptId IdOf(const agent::AttemptKey& key) { return {key.job.value(), key.epoch}; }

agent::Order ToAgent(const scheduler::AttemptOrder& order) {
  return {.key = {order.job, order.epoch},
          .action = static_cast<agent::Action>(static_cast<int>(order.action) - 1),
          .has_spec = order.spec.has_value(),
          .spec = order.spec ? order.spec->Unpack() : spec::JobSpec{},
          .slot = order.slot,
          .checkpoints = order.checkpoints,
          .grace = order.grace};
}

}  // namespace

ModelWorker::ModelWorker(World& world, int number)
    : world_(world),
      id_(*base::WorkerId::Make(fmt::format("w{}", number))),
      slots_(static_cast<int>(world.Uniform(1, world.Chance(0.2) ? 8 : 2))),
      nature_(world.Chance(0.1)   ? Nature::kBroken
              : world.Chance(0.1) ? Nature::kWithoutData
                                  : Nature::kGood) {}

void ModelWorker::Crash() {
  world_.causes().WorkerCrashed(id_.value());
  is_up_ = registered_ = false;
  attempts_.clear();  // trainers die with their worker
  leaving_.clear();
  register_ = synchronize_ = {};
  start_at_ = world_.time() + world_.Milliseconds(100, 6000);
}

void ModelWorker::Step() {
  if (is_up_ && world_.Fault(Trouble::kWorker, 0.006)) Crash();
  if (!is_up_) {
    if (world_.time() < start_at_) return;
    is_up_ = true;
    replaces_ = incarnation_;  // a worker keeps it in its work folder
    incarnation_ = fmt::format("run-{}", ++runs_);
    table_ = std::make_unique<agent::AttemptTable>(slots_);
  }
  if (world_.Fault(Trouble::kSilence, 0.006)) {
    silent_until_ = world_.time() + world_.Milliseconds(500, 9000);  // up to three leases
  }
  if (world_.Fault(Trouble::kDrain, 0.003)) Drain();
  for (auto& [key, attempt] : attempts_) {
    Train(key, attempt);
    Publish(key, attempt);
    Upload(key, attempt);
    ReportState(key, attempt);
  }
  std::erase_if(leaving_, [this](const auto& entry) {
    if (entry.first > world_.time()) return false;
    table_->Gone(entry.second);
    return true;
  });
  if (!registered_) return Register();
  if (world_.time() >= next_sync_) Synchronize();
}

void ModelWorker::Send(Call& call, std::function<Answer(int64_t id)> serve) {
  if (world_.time() < silent_until_) return;
  world_.Send(call, [this, serve = std::move(serve)](int64_t id) {
    Answer answer = serve(id);
    answer.arrive = [this, arrive = std::move(answer.arrive)] {
      if (world_.time() >= silent_until_) arrive();
    };
    return answer;
  });
}

void ModelWorker::Register() {
  scheduler::RegisterWorkerRequest request;
  request.id = id_;
  request.incarnation = incarnation_;
  request.replaces_incarnation = replaces_;
  request.version = "1";
  request.hostname = "host";
  for (int32_t i = 0; i < slots_; ++i) request.slots.push_back({i, spec::Device::kCpu, "", 0});
  Send(register_, [this, request](int64_t id) -> Answer {
    const auto view = world_.coordinator().RegisterWorker(world_.now(), request);
    if (view.ok()) world_.causes().Heard(id_.value());
    if (absl::IsAlreadyExists(view.status())) {
      // Of a run before the newest, on its way until now; or this run's predecessor never arrived.
      return {.ticket = world_.ErrorTicket(), .arrive = [this, id] { World::Take(register_, id); }};
    }
    if (!view.ok()) world_.ledger().Fault("register: " + view.status().ToString());
    return {.ticket = view->ticket, .arrive = [this, id] {
              if (World::Take(register_, id)) registered_ = true;
            }};
  });
}

void ModelWorker::Synchronize() {
  scheduler::SynchronizeRequest request{.worker = id_, .incarnation = incarnation_};
  request.draining = draining_;
  request.number = ++synchronizations_;
  for (const agent::Report& report : table_->Reports()) {
    request.attempts.push_back({report.key.job, report.key.epoch,
                                static_cast<scheduler::Phase>(static_cast<int>(report.phase) + 1),
                                report.events_pending, report.upload_bytes_left});
  }
  Send(synchronize_, [this, request](int64_t id) -> Answer {
    const auto reply = world_.coordinator().Synchronize(world_.now(), request);
    if (reply.ok()) world_.causes().Heard(id_.value());
    if (!reply.ok()) {
      return {.ticket = world_.ErrorTicket(), .arrive = [this, id] {
                if (World::Take(synchronize_, id)) registered_ = false;
              }};
    }
    return {reply->ticket,
            [this, request, orders = reply->value.orders] {
              for (const auto& order : orders) {
                world_.ledger().Ordered(id_.value(), request.incarnation, order);
              }
            },
            [this, id, value = reply->value] {
              if (!World::Take(synchronize_, id)) return;
              next_sync_ = world_.time() + value.next_call;
              std::vector<agent::Order> orders;
              for (const auto& order : value.orders) orders.push_back(ToAgent(order));
              Execute(table_->Apply(orders));
            }};
  });
}

void ModelWorker::Execute(const std::vector<agent::Command>& commands) {
  for (const agent::Command& command : commands) {
    const agent::AttemptKey& key = command.order.key;
    if (command.kind == agent::Command::Kind::kStart) {
      Start(command.order);
      continue;
    }
    const auto found = attempts_.find(key);
    if (found == attempts_.end()) continue;
    if (command.kind == agent::Command::Kind::kStop) {
      found->second.stop = true;
      found->second.kill_at = world_.time() + command.order.grace;
    } else if (command.kind == agent::Command::Kind::kForget) {
      leaving_.emplace_back(world_.time() + world_.Milliseconds(0, 800), key);
      attempts_.erase(found);
    }
  }
}

void ModelWorker::Start(const agent::Order& order) {
  Attempt& attempt = attempts_[order.key];
  if (order.action == agent::Action::kStop) {
    attempt.ended = true;
    return attempt.relay.EndWithout({.outcome = spec::Outcome::kStopped}, world_.now().wall);
  }
  world_.ledger().TrainerStarted(IdOf(order.key));
  // The newest that verifies; now and then one is broken.
  for (const base::CheckpointId& checkpoint : order.checkpoints) {
    if (world_.Fault(Trouble::kCheckpoint, 0.1)) continue;
    int epoch = 0;
    long long step = 0;
    if (std::sscanf(checkpoint.value().c_str(), "a%d-step-%lld", &epoch, &step) != 2) continue;
    attempt.step = step;
    attempt.digest = DigestOf(order.key.job.value(), epoch, step);
    break;
  }
  world_.ledger().CheckHistory(world_.store(), order.key.job, attempt.step);
}

void ModelWorker::Say(Attempt& attempt, decltype(spec::Event::kind) kind) {
  attempt.relay.TakeLine(spec::ToJsonLine({1, world_.now().wall, std::move(kind)}),
                         world_.now().wall);
}

void ModelWorker::End(const agent::AttemptKey& key, Attempt& attempt,
                      const spec::Finished& finished) {
  if (finished.outcome == spec::Outcome::kSucceeded) {
    world_.ledger().TrainerSucceeded(IdOf(key), finished.checkpoint_digest);
  }
  attempt.ended = true;
  Say(attempt, finished);
  attempt.relay.EndTrainer({}, world_.now().wall);
}

void ModelWorker::Train(const agent::AttemptKey& key, Attempt& attempt) {
  if (attempt.ended || attempt.fenced) return;
  if (world_.Fault(Trouble::kTrainer, 0.006) || world_.time() >= attempt.kill_at) {
    attempt.ended = true;
    world_.causes().TrainerDied(IdOf(key));
    return attempt.relay.EndTrainer({.signal = 9}, world_.now().wall);
  }
  if (world_.Fault(Trouble::kTrainer, 0.002)) {
    attempt.hangs = true;
    world_.causes().TrainerHung(IdOf(key));
  }
  if (attempt.hangs || world_.Chance(0.4)) return;
  if (attempt.stop && attempt.started) {
    return End(key, attempt,
               {.outcome = spec::Outcome::kStopped,
                .step = attempt.step,
                .checkpoint_digest = attempt.digest});
  }
  if (attempt.started) return TrainStep(key, attempt);
  if (nature_ != Nature::kGood) return FailAtStart(key, attempt);
  attempt.started = true;
  Say(attempt, spec::Started{.device = "cpu",
                             .threads = 1,
                             .steps_total = kStepsTotal,
                             .resumed_from_step = attempt.step});
}

void ModelWorker::FailAtStart(const agent::AttemptKey& key, Attempt& attempt) {
  const bool data = nature_ == Nature::kWithoutData;
  if (data) {
    world_.causes().DataMissing(IdOf(key));
  } else {
    world_.causes().TrainerDied(IdOf(key));
  }
  End(key, attempt,
      {.outcome = spec::Outcome::kFailed,
       .failure =
           data ? spec::TrainerFailure::kDataUnavailable : spec::TrainerFailure::kInfrastructure,
       .message = data ? "there is no such folder" : "no device"});
}

void ModelWorker::Drain() {
  draining_ = !draining_;
  if (!draining_) return;
  for (auto& [key, attempt] : attempts_) {
    attempt.stop = true;
    attempt.kill_at = std::min(attempt.kill_at, world_.time() + absl::Seconds(5));
  }
}

void ModelWorker::TrainStep(const agent::AttemptKey& key, Attempt& attempt) {
  if (world_.Fault(Trouble::kTrainer, 0.002)) {
    world_.causes().TrainerErred(IdOf(key));
    return End(key, attempt,
               {.outcome = spec::Outcome::kFailed,
                .step = attempt.step,
                .failure = spec::TrainerFailure::kUserError,
                .message = "bad data"});
  }
  if (attempt.step < kStepsTotal) {
    ++attempt.step;
    Say(attempt, spec::MetricPoint{.name = "loss",
                                   .step = attempt.step,
                                   .epoch = 1,
                                   .value = PointValue(key.epoch, attempt.step)});
    Say(attempt,
        spec::Progress{
            .step = attempt.step, .steps_total = kStepsTotal, .epoch = 1, .epochs_total = 1});
    if (attempt.step % kStepsPerCheckpoint == 0) {
      attempt.digest = DigestOf(key.job.value(), key.epoch, attempt.step);
      Say(attempt, spec::CheckpointWritten{.step = attempt.step,
                                           .epoch = 1,
                                           .folder = fmt::format("checkpoints/{}", attempt.step),
                                           .digest = attempt.digest,
                                           .size_bytes = 10,
                                           .accuracy_ratio = 0.5});
    }
  }
  if (attempt.step < kStepsTotal) return;
  End(key, attempt,
      {.outcome = spec::Outcome::kSucceeded,
       .step = attempt.step,
       .accuracy_ratio = 0.5,
       .checkpoint_digest = attempt.digest});
}

void ModelWorker::ReportState(const agent::AttemptKey& key, const Attempt& attempt) {
  const agent::Phase phase = attempt.ended || attempt.fenced ? agent::Phase::kEnded
                             : attempt.stop                  ? agent::Phase::kStopping
                             : attempt.started               ? agent::Phase::kTraining
                                                             : agent::Phase::kPreparing;
  table_->SetState({key, phase, attempt.relay.pending()});
}

ModelWorker::Attempt* ModelWorker::Waiting(const agent::AttemptKey& key, Call Attempt::*call,
                                           int64_t id) {
  const auto found = attempts_.find(key);
  if (found == attempts_.end() || !World::Take(found->second.*call, id)) return nullptr;
  return &found->second;
}

void ModelWorker::Publish(const agent::AttemptKey& key, Attempt& attempt) {
  if (attempt.fenced) return;
  const scheduler::EventBatch batch{id_, key.job, key.epoch, attempt.relay.Batch()};
  if (batch.events.empty()) return;
  Send(attempt.publish, [this, key, batch](int64_t id) -> Answer {
    const auto taken = world_.coordinator().AcceptEvents(world_.now(), batch);
    if (taken.ok()) world_.causes().Heard(id_.value());
    const absl::StatusOr<int64_t> acknowledged =
        taken.ok() ? absl::StatusOr<int64_t>(taken->value) : taken.status();
    const auto leave = [this, key, batch, acknowledged] {
      if (acknowledged.ok()) {
        world_.ledger().Acknowledged(IdOf(key), *acknowledged, batch.events);
      } else if (base::ReasonOf(acknowledged.status()).reason == "ATTEMPT_FENCED") {
        world_.ledger().Fenced(IdOf(key));
      }
    };
    return {taken.ok() ? taken->ticket : world_.ErrorTicket(), leave,
            [this, key, id, acknowledged] {
              if (Attempt* waiting = Waiting(key, &Attempt::publish, id)) {
                PublishAnswered(*waiting, acknowledged);
              }
            }};
  });
}

void ModelWorker::PublishAnswered(Attempt& attempt, const absl::StatusOr<int64_t>& acknowledged) {
  if (acknowledged.ok()) return attempt.relay.Acknowledge(*acknowledged);
  const std::string reason = base::ReasonOf(acknowledged.status()).reason;
  if (reason == "ATTEMPT_FENCED") {
    attempt.fenced = true;
  } else if (reason == "CHECKPOINT_MISSING") {
    attempt.relay.CheckpointMissing(world_.now().wall);
  } else if (reason != "STORE_BUSY") {  // which passes: the batch is sent again
    world_.ledger().Fault("publish: " + acknowledged.status().ToString());
  }
}

void ModelWorker::Upload(const agent::AttemptKey& key, Attempt& attempt) {
  const auto next = attempt.relay.NextUpload();
  if (attempt.fenced || !next) return;
  const scheduler::PublishRequest request{.source = {id_, key.job, key.epoch},
                                          .step = next->checkpoint.step,
                                          .epoch = next->checkpoint.epoch,
                                          .digest = next->checkpoint.digest,
                                          .files = {{"manifest.json", 10, next->checkpoint.digest}},
                                          .accuracy_ratio = next->checkpoint.accuracy_ratio,
                                          .after_event_sequence = next->after_event_sequence};
  Send(attempt.upload, [this, key, request, checkpoint = next->checkpoint](int64_t id) -> Answer {
    const auto kept = world_.coordinator().RecordCheckpoint(world_.now(), request);
    if (kept.ok()) world_.causes().Heard(id_.value());
    const std::string reason = base::ReasonOf(kept.status()).reason;
    const bool fenced = reason == "ATTEMPT_FENCED" || reason == "JOB_NOT_FOUND";
    if (!kept.ok() && !fenced) world_.ledger().Fault("upload: " + kept.status().ToString());
    const auto leave = [this, key, fenced] {
      if (fenced) world_.ledger().Fenced(IdOf(key));
    };
    return {kept.ok() ? kept->ticket : world_.ErrorTicket(), leave,
            [this, key, id, fenced, checkpoint] {
              Attempt* const waiting = Waiting(key, &Attempt::upload, id);
              if (waiting == nullptr) return;
              waiting->fenced |= fenced;
              if (!fenced) waiting->relay.UploadEnded(checkpoint, {}, world_.now().wall);
            }};
  });
}

}  // namespace bsnn::simulation
