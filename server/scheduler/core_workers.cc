#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/scheduler/core.h"

namespace bsnn::scheduler {
namespace {

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

absl::Status UnknownWorker(const base::WorkerId& worker) {
  return base::WithReason(
      absl::NotFoundError(fmt::format("worker {} is not registered", worker.value())),
      {"WORKER_UNKNOWN", {{"worker", worker.value()}}});
}

}  // namespace

spec::Device Core::DeviceOf(const Worker& worker, int32_t slot) {
  for (const store::Slot& item : worker.record.slots) {
    if (item.index == slot) return item.device;
  }
  return spec::Device::kAny;  // its slots have changed since; no slot to give back
}

absl::Duration Core::LeaseOf(const Worker& worker) const {
  return worker.confirmed ? options_.lease : std::max(options_.lease, options_.recovery_min);
}

void Core::FreeSlot(const Worker& worker, int32_t slot) {
  if (worker.lost || worker.draining || !worker.confirmed) return;
  const spec::Device device = DeviceOf(worker, slot);
  if (device == spec::Device::kAny) return;
  free_[static_cast<size_t>(device)].insert({worker.record.id, slot});
}

void Core::OfferSlots(const Worker& worker) {
  for (const store::Slot& slot : worker.record.slots) {
    if (!worker.used.contains(slot.index)) FreeSlot(worker, slot.index);
  }
}

void Core::WithdrawSlots(const Worker& worker) {
  for (auto& free : free_) {
    std::erase_if(free, [&](const auto& slot) { return slot.first == worker.record.id; });
  }
}

void Core::LoseWorker(Instant now, Worker& worker, std::string_view why) {
  worker.lost = true;
  WithdrawSlots(worker);
  const auto used = worker.used;
  for (const auto& [slot, sequence] : used) {
    LoseAttempt(now, jobs_.at(sequence), FailureClass::kWorkerLost, std::string(why));
  }
  worker.record.last_seen_time = now.wall - (now.steady - worker.last_seen);
  batch_.push_back(store::PutWorker{worker.record});
  SetTimer(now.steady + options_.worker_linger, worker);
}

absl::StatusOr<WorkerView> Core::RegisterWorker(Instant now, const RegisterWorkerRequest& request) {
  RETURN_IF_ERROR(CheckSlots(request.slots));
  const auto found = workers_.find(request.id);
  if (found == workers_.end() && std::ssize(workers_) >= base::kWorkersMax) {
    return base::WithReason(
        absl::ResourceExhaustedError(fmt::format("{} workers are registered", base::kWorkersMax)),
        {"LIMIT_EXCEEDED", {{"limit", "workers"}}});
  }
  if (found != workers_.end() && found->second.record.incarnation != request.incarnation &&
      !found->second.lost) {
    LoseWorker(now, found->second, fmt::format("worker {} was restarted", request.id.value()));
  }
  Worker& worker = workers_[request.id];
  WithdrawSlots(worker);
  worker.record.id = request.id;
  worker.record.incarnation = request.incarnation;
  worker.record.slots = request.slots;
  worker.record.version = request.version;
  worker.record.hostname = request.hostname;
  worker.record.labels = request.labels;
  worker.record.data_sets = request.data_sets;
  worker.record.spec_version = request.spec_version;
  worker.record.register_time = now.wall;
  worker.record.last_seen_time = now.wall;
  worker.last_seen = now.steady;
  worker.lost = worker.draining = false;
  worker.confirmed = true;
  batch_.push_back(store::PutWorker{worker.record});
  SetTimer(now.steady + options_.lease, worker);
  OfferSlots(worker);
  Place(now);
  return ViewOf(worker);
}

AttemptOrder Core::OrderOf(const Job& job) const {
  const store::AttemptRecord& attempt = *job.live();
  AttemptOrder order;
  order.job = job.record.id;
  order.epoch = attempt.epoch;
  if (job.status().state == JobState::kCancelling) {
    order.action = Action::kStop;
    order.grace = absl::Seconds(job.record.spec->scheduling.grace_seconds);
    return order;
  }
  order.action = Action::kRun;
  order.spec = job.record.spec;
  order.slot = attempt.slot;
  for (auto item = job.checkpoints.rbegin(); item != job.checkpoints.rend(); ++item) {
    if (std::ssize(order.checkpoints) == base::kCheckpointsInOrderMax) break;
    order.checkpoints.push_back(item->second.id);
  }
  return order;
}

absl::StatusOr<SynchronizeReply> Core::Synchronize(Instant now, const SynchronizeRequest& request,
                                                   store::Ticket& ticket) {
  const auto found = workers_.find(request.worker);
  if (found == workers_.end() || found->second.record.incarnation != request.incarnation) {
    return UnknownWorker(request.worker);
  }
  Worker& worker = found->second;
  worker.last_seen = now.steady;
  worker.record.last_seen_time = now.wall;
  if (worker.lost) SetTimer(now.steady + options_.lease, worker);
  const bool offered = worker.confirmed && !worker.lost && !worker.draining;
  worker.lost = false;
  worker.confirmed = true;
  worker.draining = request.draining;
  if (worker.draining) WithdrawSlots(worker);
  if (!worker.draining && !offered) OfferSlots(worker);

  std::map<std::pair<base::JobId, int32_t>, Phase> reported;
  for (const AttemptReport& report : request.attempts) {
    reported[{report.job, report.epoch}] = report.phase;
  }
  // An attempt that is to stop, and that the worker does not have, has stopped.
  const auto used = worker.used;
  for (const auto& [slot, sequence] : used) {
    Job& job = jobs_.at(sequence);
    if (job.status().state != JobState::kCancelling) continue;
    if (reported.contains({job.record.id, job.live()->epoch})) continue;
    LoseAttempt(now, job, FailureClass::kNone, "its worker does not run it");
  }
  Place(now);

  SynchronizeReply reply;
  reply.next_call = options_.next_call;
  ticket = 0;
  for (const auto& [slot, sequence] : worker.used) {
    const Job& job = jobs_.at(sequence);
    reply.orders.push_back(OrderOf(job));
    const bool known = reported.erase({job.record.id, job.live()->epoch}) > 0;
    if (!known || job.status().state != JobState::kRunning) {
      reply.next_call = options_.next_call_busy;
    }
    // What was written for it in this call is enqueued after this: the wrapper adds that ticket.
    ticket = std::max(ticket, job.ticket);
  }
  // What is left is not live. Not named in the reply, it is killed and forgotten: that its end is
  // durable is therefore a condition of the reply.
  for (const auto& [key, phase] : reported) {
    reply.next_call = options_.next_call_busy;
    const Job* job = Find(key.first);
    ticket = std::max(ticket, job != nullptr ? job->ticket : last_ticket_);
  }
  return reply;
}

WorkerView Core::ViewOf(const Worker& worker) const {
  WorkerView view;
  view.record = worker.record;
  view.state = worker.lost       ? WorkerState::kLost
               : worker.draining ? WorkerState::kDraining
                                 : WorkerState::kOnline;
  view.slots_used = static_cast<int32_t>(worker.used.size());
  for (const auto& [slot, sequence] : worker.used) {
    view.jobs.push_back(jobs_.at(sequence).record.id);
  }
  return view;
}

absl::StatusOr<WorkerView> Core::GetWorker(Instant, const base::WorkerId& worker) const {
  const auto found = workers_.find(worker);
  if (found == workers_.end()) return UnknownWorker(worker);
  return ViewOf(found->second);
}

std::vector<WorkerView> Core::ListWorkers(const base::WorkerId& after, int limit) const {
  std::vector<WorkerView> views;
  auto item = after.empty() ? workers_.begin() : workers_.upper_bound(after);
  for (; item != workers_.end() && std::ssize(views) < limit; ++item) {
    views.push_back(ViewOf(item->second));
  }
  return views;
}

}  // namespace bsnn::scheduler
