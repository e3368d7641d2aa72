#include "server/commands/workers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/commands/attempts.h"

namespace bsnn::commands {
namespace {

using cluster::Job;
using cluster::Worker;
using Kind = TimerKey::Kind;

absl::Status CheckSlots(const std::vector<store::Slot>& slots) {
  std::vector<base::FieldFault> faults;
  if (slots.empty() || slots.size() > base::kSlotsPerWorkerMax) {
    faults.push_back({"slots", fmt::format("{} slots", slots.size()),
                      fmt::format("1 to {}", base::kSlotsPerWorkerMax)});
  }
  std::set<int32_t> seen;
  for (size_t i = 0; i < slots.size() && faults.size() < 8; ++i) {
    const store::Slot& slot = slots[i];
    if (slot.index < 0 || slot.index >= std::ssize(slots) || !seen.insert(slot.index).second) {
      faults.push_back({fmt::format("slots[{}].index", i), std::to_string(slot.index),
                        "each of 0 to the number of slots - 1, once"});
    }
    if (slot.device != spec::Device::kCpu && slot.device != spec::Device::kCuda) {
      faults.push_back({fmt::format("slots[{}].device", i), std::string(spec::ToWord(slot.device)),
                        "cpu, cuda"});
    }
  }
  return faults.empty() ? absl::OkStatus() : base::InvalidFields(faults);
}

/// Two machines must not take each other's attempts: an id is free when its worker is silent, or
/// when the newcomer is that worker after a restart.
absl::Status CheckIncarnation(const Worker& held, const WorkerSighting& seen,
                              const RegisterWorkerRequest& request) {
  const std::string& incarnation = held.record.incarnation;
  if (incarnation == request.incarnation || held.record.lost || seen.silent ||
      request.replaces_incarnation == incarnation) {
    return absl::OkStatus();
  }
  return base::WithReason(
      absl::AlreadyExistsError(fmt::format(
          "worker id {} is in use by a worker on host '{}' that called lately; give this one "
          "another id (--id)",
          request.id.value(), held.record.hostname)),
      {"WORKER_ID_IN_USE", {{"worker", request.id.value()}, {"hostname", held.record.hostname}}});
}

absl::Duration LeaseOf(const Options& options, const WorkerSighting& seen) {
  return seen.confirmed ? options.lease : std::max(options.lease, options.recovery_min);
}

/// A record's last_seen_time is at most so old while its worker calls.
constexpr absl::Duration kLastSeenAgeMax = absl::Hours(1);

/// The worker's word on one live attempt of it.
void NoteReport(Transaction& tx, const Job& job, const AttemptReport& report) {
  AttemptSighting& seen = tx.sightings().attempts.at(job.record.sequence);
  const bool ended = report.phase == Phase::kEnded && seen.phase != Phase::kEnded;
  const bool moved =
      report.phase == Phase::kEnded && (report.upload_bytes_left != seen.upload_bytes_left ||
                                        report.events_pending < seen.events_pending);
  seen.phase = report.phase;
  seen.events_pending = report.events_pending;
  seen.upload_bytes_left = report.upload_bytes_left;
  if (ended || moved) NoteProgress(tx, job);
}

/// The policy looks again at the worker and at the jobs that it has.
void ReconsiderWorker(Transaction& tx, const base::WorkerId& worker) {
  tx.Reconsider(worker);
  for (const auto& [slot, job] : tx.facts().workers.at(worker).used) tx.Reconsider(job);
}

/// The silence is not held against the worker's attempts: they may have trained all the while, and
/// an order to stop may not have reached them.
void ForgiveSilence(Transaction& tx, const base::WorkerId& worker, absl::Duration silence) {
  for (const auto& [slot, sequence] : tx.facts().workers.at(worker).used) {
    const Job& job = *tx.facts().FindJob(sequence);
    tx.sightings().attempts.at(sequence).progress_at += silence;
    if (job.live()->stop != StopReason::kCancel) SetAttemptTimer(tx, job);
  }
}

AttemptOrder OrderOf(const Job& job, bool worker_has_it) {
  const store::AttemptRecord& attempt = *job.live();
  AttemptOrder order;
  order.job = job.record.id;
  order.epoch = attempt.epoch;
  if (attempt.stop != StopReason::kNone) {
    order.action = Action::kStop;
    order.grace = absl::Seconds(job.record.spec.Unpack().scheduling.grace_seconds);
    return order;
  }
  order.action = Action::kRun;
  order.slot = attempt.slot;
  if (worker_has_it) return order;
  order.spec = job.record.spec;
  for (auto item = job.checkpoints.rbegin(); item != job.checkpoints.rend(); ++item) {
    if (std::ssize(order.checkpoints) == base::kCheckpointsInOrderMax) break;
    order.checkpoints.push_back(item->second.id);
  }
  return order;
}

std::map<std::pair<base::JobId, int32_t>, const AttemptReport*> ByAttempt(
    const SynchronizeRequest& request) {
  std::map<std::pair<base::JobId, int32_t>, const AttemptReport*> reports;
  for (const AttemptReport& report : request.attempts) {
    reports[{report.job, report.epoch}] = &report;
  }
  return reports;
}

}  // namespace

absl::Status UnknownWorker(const base::WorkerId& worker) {
  return base::WithReason(
      absl::NotFoundError(fmt::format("worker {} is not registered", worker.value())),
      {"WORKER_UNKNOWN", {{"worker", worker.value()}}});
}

absl::Status RegisterWorker(Transaction& tx, const RegisterWorkerRequest& request) {
  RETURN_IF_ERROR(CheckSlots(request.slots));
  const Worker* const held = tx.facts().FindWorker(request.id);
  if (held == nullptr && std::ssize(tx.facts().workers) >= base::kWorkersMax) {
    return base::WithReason(
        absl::ResourceExhaustedError(fmt::format("{} workers are registered", base::kWorkersMax)),
        {"LIMIT_EXCEEDED", {{"limit", "workers"}}});
  }
  if (held != nullptr) {
    RETURN_IF_ERROR(CheckIncarnation(*held, tx.sightings().workers[request.id], request));
    if (held->record.incarnation != request.incarnation && !held->record.lost) {
      LoseWorker(tx, request.id, fmt::format("worker {} was restarted", request.id.value()));
    }
  }
  store::WorkerRecord record;
  record.id = request.id;
  record.incarnation = request.incarnation;
  record.slots = request.slots;
  record.version = request.version;
  record.hostname = request.hostname;
  record.labels = request.labels;
  record.data_sets = request.data_sets;
  record.spec_version = request.spec_version;
  record.register_time = tx.now().wall;
  record.last_seen_time = tx.now().wall;
  tx.Do(store::PutWorker{std::move(record)});
  // Whoever restarted it may have mended what was wrong: nothing is held against it.
  tx.sightings().workers[request.id] = {};
  HearWorker(tx, request.id);
  return absl::OkStatus();
}

void HearWorker(Transaction& tx, const base::WorkerId& worker) {
  WorkerSighting& seen = tx.sightings().workers[worker];
  const store::WorkerRecord& record = tx.facts().workers.at(worker).record;
  if (!seen.confirmed || seen.silent || record.lost) ReconsiderWorker(tx, worker);
  const absl::Duration silence =
      seen.silent ? tx.now().steady - seen.last_seen : absl::ZeroDuration();
  seen.last_seen = tx.now().steady;
  seen.last_seen_wall = tx.now().wall;
  seen.confirmed = true;
  seen.silent = false;
  if (silence > absl::ZeroDuration()) ForgiveSilence(tx, worker, silence);
  if (record.lost || tx.now().wall - record.last_seen_time > kLastSeenAgeMax) {
    store::WorkerRecord back = record;
    back.lost = false;
    back.last_seen_time = tx.now().wall;
    tx.Do(store::PutWorker{std::move(back)});
  }
  tx.timers().Clear({Kind::kWorkerForget, 0, worker});
  SetWorkerTimers(tx, worker);
}

void SetWorkerTimers(Transaction& tx, const base::WorkerId& worker) {
  const WorkerSighting& seen = tx.sightings().workers.at(worker);
  const absl::Duration lease = LeaseOf(tx.options(), seen);
  tx.timers().Set({Kind::kWorkerSilent, 0, worker}, seen.last_seen + lease);
  tx.timers().Set({Kind::kWorkerLost, 0, worker},
                  seen.last_seen + std::max(lease, tx.options().lost_after));
}

void SilenceWorker(Transaction& tx, const base::WorkerId& worker) {
  WorkerSighting& seen = tx.sightings().workers.at(worker);
  seen.silent = true;
  ++tx.counters().leases_expired;
  ReconsiderWorker(tx, worker);
}

void LoseWorker(Transaction& tx, const base::WorkerId& worker, std::optional<std::string> why) {
  const WorkerSighting& seen = tx.sightings().workers.at(worker);
  const absl::Duration silence = tx.now().steady - seen.last_seen;
  if (!why) {
    why = fmt::format("worker {} was silent for {:.0f} s", worker.value(),
                      absl::ToDoubleSeconds(silence));
  }
  store::WorkerRecord record = tx.facts().workers.at(worker).record;
  record.lost = true;
  if (seen.confirmed) record.last_seen_time = tx.now().wall - silence;
  tx.Do(store::PutWorker{std::move(record)});
  const auto used = tx.facts().workers.at(worker).used;
  for (const auto& [slot, job] : used) {
    LoseAttempt(tx, *tx.facts().FindJob(job), FailureClass::kWorkerLost, *why);
  }
  tx.timers().Clear({Kind::kWorkerSilent, 0, worker});
  tx.timers().Clear({Kind::kWorkerLost, 0, worker});
  SetForgetTimer(tx, tx.facts().workers.at(worker));
}

void SetForgetTimer(Transaction& tx, const Worker& worker) {
  const absl::Duration linger = tx.options().worker_linger;
  const absl::Duration gone =
      std::clamp(tx.now().wall - worker.record.last_seen_time, absl::ZeroDuration(), linger);
  tx.timers().Set({Kind::kWorkerForget, 0, worker.record.id}, tx.now().steady + linger - gone);
}

void ForgetWorker(Transaction& tx, const base::WorkerId& worker) {
  tx.timers().Clear({Kind::kProbe, 0, worker});
  tx.sightings().workers.erase(worker);
  tx.Do(store::DeleteWorker{worker});
}

absl::Status NoteSynchronize(Transaction& tx, const SynchronizeRequest& request) {
  const Worker* const worker = tx.facts().FindWorker(request.worker);
  if (worker == nullptr || worker->record.incarnation != request.incarnation) {
    return UnknownWorker(request.worker);
  }
  HearWorker(tx, request.worker);
  WorkerSighting& seen = tx.sightings().workers.at(request.worker);
  // A call that was overtaken by a later one says what is no longer so.
  if (request.number > 0 && request.number <= seen.newest_number) return absl::OkStatus();
  seen.newest_number = request.number;
  if (seen.draining != request.draining) tx.Reconsider(request.worker);
  seen.draining = request.draining;

  const auto reports = ByAttempt(request);
  const auto used = worker->used;
  for (const auto& [slot, sequence] : used) {
    const Job& job = *tx.facts().FindJob(sequence);
    const auto report = reports.find({job.record.id, job.live()->epoch});
    if (report != reports.end()) {
      NoteReport(tx, job, *report->second);
    } else if (job.live()->stop != StopReason::kNone) {
      LoseAttempt(tx, job, FailureClass::kNone, "its worker does not run it");
      continue;
    }
    if (tx.sightings().overdue.contains(sequence)) HandleDeadline(tx, job);
  }
  return absl::OkStatus();
}

OrdersFor MakeOrders(const Options& options, const State& state,
                     const SynchronizeRequest& request) {
  OrdersFor orders;
  orders.reply.next_call = options.next_call;
  auto reports = ByAttempt(request);
  for (const auto& [slot, sequence] : state.facts.workers.at(request.worker).used) {
    const Job& job = *state.facts.FindJob(sequence);
    const bool known = reports.erase({job.record.id, job.live()->epoch}) > 0;
    orders.reply.orders.push_back(OrderOf(job, known));
    if (!known || job.status().state != JobState::kRunning ||
        job.live()->stop != StopReason::kNone) {
      orders.reply.next_call = options.next_call_busy;
    }
    orders.jobs.push_back(sequence);
  }
  // What is left is not live. Not named in the reply, it is killed and forgotten: that its end is
  // durable is therefore a condition of the reply.
  for (const auto& [key, report] : reports) {
    orders.reply.next_call = options.next_call_busy;
    const Job* const job = state.facts.FindJob(key.first);
    if (job != nullptr) orders.jobs.push_back(job->record.sequence);
    orders.rests_on_deletions |= job == nullptr;
  }
  return orders;
}

WorkerState StateOf(const Worker& worker, const WorkerSighting& seen) {
  if (worker.record.lost) return WorkerState::kLost;
  if (seen.silent) return WorkerState::kSilent;
  if (seen.draining) return WorkerState::kDraining;
  return seen.health.HasSuspect() ? WorkerState::kSuspect : WorkerState::kOnline;
}

policy::Offer OfferOf(const Worker& worker, const WorkerSighting& seen, absl::Duration now,
                      Timers& timers) {
  policy::Offer offer;
  if (worker.record.data_sets) {
    offer.data.emplace();
    for (const store::DataSet& set : *worker.record.data_sets) offer.data->insert(set.name);
  }
  offer.missing_data = seen.health.ClosedData(now);
  const TimerKey probe{Kind::kProbe, 0, worker.record.id};
  timers.Clear(probe);
  if (worker.record.lost || seen.silent || seen.draining || !seen.confirmed) {
    for (const store::Slot& slot : worker.record.slots) {
      ++offer.away[static_cast<size_t>(slot.device)];
    }
    return offer;
  }
  for (const store::Slot& slot : worker.record.slots) {
    const auto device = static_cast<size_t>(slot.device);
    if (!seen.health.IsOpen(now) || !seen.health.IsOpen(now, slot.index)) {
      ++offer.suspect[device];
      continue;
    }
    ++offer.slots[device];
    if (!worker.used.contains(slot.index)) offer.free[device].insert(slot.index);
  }
  timers.Set(probe, seen.health.NextOpening(now));
  return offer;
}

}  // namespace bsnn::commands
