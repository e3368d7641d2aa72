#include "server/api/worker_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "server/api/request_check.h"
#include "wire/event.h"
#include "wire/names.h"
#include "wire/spec.h"

namespace bsnn::api {
namespace {

constexpr size_t kIncarnationMax = 64;
constexpr size_t kDescriptionMax = 128;
constexpr size_t kHostnameMax = 253;
constexpr int kDataSetsMax = 64;
constexpr size_t kDataSetTextMax = 64;
// A worker names the attempts it holds; each slot has one, and some may still be ending.
constexpr int kReportsMax = 1000;

void CheckText(RequestCheck& check, std::string field, const std::string& text, size_t max) {
  check.Require(CharactersOf(text) <= max, std::move(field), text,
                fmt::format("at most {} characters", max));
}

void CheckIncarnation(RequestCheck& check, const std::string& incarnation) {
  check.Require(!incarnation.empty() && CharactersOf(incarnation) <= kIncarnationMax, "incarnation",
                "'" + incarnation + "'", "1 to 64 characters");
}

/// Checks a repeated field's size; the count to look at.
int CheckCount(RequestCheck& check, const char* field, int count, int min, int max) {
  check.Require(count >= min && count <= max, field, fmt::format("{} of them", count),
                fmt::format("{} to {}", min, max));
  return std::min(count, max);
}

store::Slot FromProto(const v1::Slot& slot, const std::string& prefix, RequestCheck& check) {
  check.Require(slot.index() >= 0 && slot.index() < base::kSlotsPerWorkerMax, prefix + "index",
                std::to_string(slot.index()), fmt::format("0 to {}", base::kSlotsPerWorkerMax - 1));
  check.Require(slot.device() == "cpu" || slot.device() == "cuda", prefix + "device",
                "'" + slot.device() + "'", "cpu, cuda");
  CheckText(check, prefix + "description", slot.description(), kDescriptionMax);
  check.Require(slot.memory_bytes() >= 0, prefix + "memory_bytes",
                std::to_string(slot.memory_bytes()), "at least 0");
  return {slot.index(), slot.device() == "cuda" ? spec::Device::kCuda : spec::Device::kCpu,
          slot.description(), slot.memory_bytes()};
}

scheduler::AttemptReport FromProto(const v1::AttemptReport& report, const std::string& prefix,
                                   RequestCheck& check) {
  scheduler::AttemptReport result;
  result.job = check.Take(wire::ParseJobName("job", report.job()), prefix);
  check.Require(report.epoch() >= 1, prefix + "epoch", std::to_string(report.epoch()),
                "at least 1");
  check.Require(report.events_pending() >= 0, prefix + "events_pending",
                std::to_string(report.events_pending()), "at least 0");
  check.Require(report.upload_bytes_left() >= 0, prefix + "upload_bytes_left",
                std::to_string(report.upload_bytes_left()), "at least 0");
  Refuse(check, report.rank() != 0, prefix + "rank", std::to_string(report.rank()));
  Refuse(check, !report.meeting().empty(), prefix + "meeting", report.meeting());
  check.Require(
      report.phase() >= v1::AttemptReport::PREPARING && report.phase() <= v1::AttemptReport::ENDED,
      prefix + "phase", std::to_string(report.phase()), "PREPARING, TRAINING, STOPPING, ENDED");
  result.epoch = report.epoch();
  result.phase = static_cast<scheduler::Phase>(report.phase());
  result.events_pending = report.events_pending();
  result.upload_bytes_left = report.upload_bytes_left();
  return result;
}

/// Data sets whose names this coordinator does not know are skipped: a newer worker may have them.
std::vector<store::DataSet> FromProto(const v1::DataSets& message, RequestCheck& check) {
  const int count =
      CheckCount(check, "data_sets.data_sets", message.data_sets_size(), 0, kDataSetsMax);
  std::vector<store::DataSet> sets;
  for (int i = 0; i < count; ++i) {
    const v1::DataSet& set = message.data_sets(i);
    const std::string prefix = fmt::format("data_sets.data_sets[{}].", i);
    CheckText(check, prefix + "name", set.name(), kDataSetTextMax);
    CheckText(check, prefix + "fingerprint", set.fingerprint(), kDataSetTextMax);
    if (const auto name = spec::FindDataName(set.name())) {
      sets.push_back({*name, set.fingerprint()});
    }
  }
  return sets;
}

void Write(const scheduler::AttemptOrder& order, v1::AttemptOrder& message) {
  message.set_job(wire::JobName(order.job));
  message.set_epoch(order.epoch);
  message.set_action(static_cast<v1::AttemptOrder::Action>(order.action));
  if (order.spec) wire::Write(order.spec->Unpack(), *message.mutable_spec());
  message.set_slot(order.slot);
  for (const auto& checkpoint : order.checkpoints) {
    message.add_checkpoints(wire::CheckpointName(order.job, checkpoint));
  }
  if (order.action == scheduler::Action::kStop) {
    *message.mutable_grace() = wire::ToProtoDuration(order.grace);
  }
}

}  // namespace

v1::Worker ToProto(const scheduler::WorkerView& view) {
  const store::WorkerRecord& record = view.record;
  v1::Worker message;
  message.set_name(wire::WorkerName(record.id));
  message.set_state(static_cast<v1::Worker::State>(view.state));
  for (const store::Slot& slot : record.slots) {
    auto& added = *message.add_slots();
    added.set_index(slot.index);
    added.set_device(std::string(spec::ToWord(slot.device)));
    added.set_description(slot.description);
    added.set_memory_bytes(slot.memory_bytes);
  }
  message.set_slots_used(view.slots_used);
  message.set_version(record.version);
  message.set_hostname(record.hostname);
  *message.mutable_register_time() = wire::ToProtoTime(record.register_time);
  *message.mutable_last_seen_time() = wire::ToProtoTime(record.last_seen_time);
  for (const base::JobId& job : view.jobs) message.add_jobs(wire::JobName(job));
  message.mutable_labels()->insert(record.labels.begin(), record.labels.end());
  if (record.data_sets) {
    auto& sets = *message.mutable_data_sets();
    for (const store::DataSet& set : *record.data_sets) {
      auto& added = *sets.add_data_sets();
      added.set_name(std::string(spec::ToWord(set.name)));
      added.set_fingerprint(set.fingerprint);
    }
  }
  message.set_state_message(view.state_message);
  message.set_spec_version(record.spec_version);
  return message;
}

v1::SynchronizeResponse ToProto(const scheduler::SynchronizeReply& reply) {
  v1::SynchronizeResponse message;
  for (const auto& order : reply.orders) Write(order, *message.add_orders());
  *message.mutable_next_call() = wire::ToProtoDuration(reply.next_call);
  return message;
}

absl::StatusOr<scheduler::RegisterWorkerRequest> FromProto(
    const v1::RegisterWorkerRequest& request) {
  RequestCheck check;
  scheduler::RegisterWorkerRequest result;
  check.Require(base::IsId(request.worker_id()), "worker_id", "'" + request.worker_id() + "'",
                "[a-z0-9-] of 1 to 63 characters");
  CheckIncarnation(check, request.incarnation());
  const int slots = CheckCount(check, "slots", request.slots_size(), 1, base::kSlotsPerWorkerMax);
  for (int i = 0; i < slots; ++i) {
    result.slots.push_back(FromProto(request.slots(i), fmt::format("slots[{}].", i), check));
  }
  CheckText(check, "version", request.version(), kDescriptionMax);
  CheckText(check, "hostname", request.hostname(), kHostnameMax);
  result.labels = {request.labels().begin(), request.labels().end()};
  CheckLabels(check, "labels", result.labels);
  if (request.has_data_sets()) result.data_sets = FromProto(request.data_sets(), check);
  check.Require(request.spec_version() >= 0, "spec_version", std::to_string(request.spec_version()),
                "at least 0");
  CheckText(check, "replaces_incarnation", request.replaces_incarnation(), kIncarnationMax);
  if (!check.ok()) return check.status();
  result.id = *base::WorkerId::Make(request.worker_id());
  result.incarnation = request.incarnation();
  result.version = request.version();
  result.hostname = request.hostname();
  // A worker of before the field reads the first version.
  result.spec_version = std::max(request.spec_version(), 1);
  result.replaces_incarnation = request.replaces_incarnation();
  return result;
}

absl::StatusOr<scheduler::SynchronizeRequest> FromProto(const v1::SynchronizeRequest& request) {
  RequestCheck check;
  scheduler::SynchronizeRequest result;
  result.worker = check.Take(wire::ParseWorkerName("worker", request.worker()));
  CheckIncarnation(check, request.incarnation());
  const int count = CheckCount(check, "attempts", request.attempts_size(), 0, kReportsMax);
  for (int i = 0; i < count; ++i) {
    result.attempts.push_back(
        FromProto(request.attempts(i), fmt::format("attempts[{}].", i), check));
  }
  check.Require(request.number() >= 0, "number", std::to_string(request.number()), "at least 0");
  if (!check.ok()) return check.status();
  result.incarnation = request.incarnation();
  result.draining = request.draining();
  result.number = request.number();
  return result;
}

absl::StatusOr<scheduler::EventBatch> FromProto(const v1::PublishEventsRequest& request) {
  RequestCheck check;
  scheduler::EventBatch batch;
  batch.worker = check.Take(wire::ParseWorkerName("worker", request.worker()));
  batch.job = check.Take(wire::ParseJobName("job", request.job()));
  check.Require(request.epoch() >= 1, "epoch", std::to_string(request.epoch()), "at least 1");
  const int count = CheckCount(check, "events", request.events_size(), 1, base::kEventsPerBatchMax);
  batch.events.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    batch.events.push_back(
        check.Take(wire::FromProto(request.events(i)), fmt::format("events[{}].", i)));
  }
  if (!check.ok()) return check.status();
  batch.epoch = request.epoch();
  return batch;
}

}  // namespace bsnn::api
