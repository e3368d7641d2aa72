#include "server/store/sqlite/codec.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/logging.h"
#include "base/status.h"

namespace bsnn::store {
namespace {

using Json = nlohmann::json;

// One Visit function for each record serves writing and reading: `v(name, field)`.

class Writer {
 public:
  Json json = Json::object();

  void operator()(const char* name, const absl::Time& time) {
    if (time == absl::InfiniteFuture() || time == absl::InfinitePast()) {
      json[name] = nullptr;
    } else {
      json[name] = absl::ToUnixNanos(time);
    }
  }
  void operator()(const char* name, double value) {
    if (std::isfinite(value)) {
      json[name] = value;
    } else {
      json[name] = nullptr;
    }
  }
  template <class Tag>
  void operator()(const char* name, const base::Id<Tag>& id) {
    json[name] = id.value();
  }
  template <class T>
  void operator()(const char* name, const T& value) {
    if constexpr (std::is_enum_v<T>) {
      json[name] = static_cast<int>(value);
    } else {
      json[name] = value;
    }
  }
};

/// Reads leniently what is absent and strictly what is there: wrong types throw, and end in Decode.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  /// A null time leaves the field at its default: the infinity of its meaning.
  void operator()(const char* name, absl::Time& time) {
    if (const Json* found = Find(name)) time = absl::FromUnixNanos(found->get<int64_t>());
  }
  void operator()(const char* name, double& value) {
    if (!json_.contains(name)) return;
    const Json* found = Find(name);
    value = found ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
  }
  template <class Tag>
  void operator()(const char* name, base::Id<Tag>& id) {
    const Json* found = Find(name);
    if (found == nullptr || found->get_ref<const std::string&>().empty()) return;
    auto made = base::Id<Tag>::Make(found->get_ref<const std::string&>());
    if (!made.ok()) throw std::invalid_argument(made.status().ToString());
    id = *std::move(made);
  }
  template <class T>
  void operator()(const char* name, T& value) {
    const Json* found = Find(name);
    if (found == nullptr) return;
    if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(found->get<int32_t>());
    } else {
      found->get_to(value);
    }
  }

 private:
  const Json* Find(const char* name) const {
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  const Json& json_;
};

template <class V, class T>
void VisitProgress(V& v, T& p) {
  v("step", p.step);
  v("steps_total", p.steps_total);
  v("epoch", p.epoch);
  v("epochs_total", p.epochs_total);
  v("images_per_second", p.images_per_second);
  v("eta_seconds", p.eta_seconds);
  v("update_time", p.update_time);
}

template <class V, class T>
void VisitResult(V& v, T& r) {
  v("accuracy_ratio", r.accuracy_ratio);
  v("steps", r.steps);
  v("checkpoint", r.checkpoint);
  v("checkpoint_digest", r.checkpoint_digest);
}

template <class V, class T>
void VisitStatus(V& v, T& s) {
  v("state", s.state);
  v("version", s.version);
  v("newest_epoch", s.newest_epoch);
  v("restart_count", s.restart_count);
  v("failures_in_row", s.failures_in_row);
  v("not_before", s.not_before);
  v("start_time", s.start_time);
  v("end_time", s.end_time);
  v("update_time", s.update_time);
  v("cancel_time", s.cancel_time);
  v("failure_class", s.failure_class);
  v("message", s.message);
  v("metric_points", s.metric_points);
  v("metric_points_dropped", s.metric_points_dropped);
}

template <class V, class T>
void VisitJob(V& v, T& j) {
  v("id", j.id);
  v("sequence", j.sequence);
  v("wanted_id", j.wanted_id);
  v("request_id", j.request_id);
  v("display_name", j.display_name);
  v("labels", j.labels);
  v("create_time", j.create_time);
}

template <class V, class T>
void VisitAttempt(V& v, T& a) {
  v("epoch", a.epoch);
  v("worker", a.worker);
  v("incarnation", a.incarnation);
  v("slot", a.slot);
  v("start_time", a.start_time);
  v("end_time", a.end_time);
  v("failure_class", a.failure_class);
  v("message", a.message);
  v("resumed_from_step", a.resumed_from_step);
  v("acknowledged_sequence", a.acknowledged_sequence);
  v("finished", a.finished);
  v("stop", a.stop);
}

template <class V, class T>
void VisitFile(V& v, T& f) {
  v("name", f.name);
  v("size_bytes", f.size_bytes);
  v("sha256", f.sha256);
}

template <class V, class T>
void VisitCheckpoint(V& v, T& c) {
  v("job", c.job);
  v("id", c.id);
  v("step", c.step);
  v("epoch", c.epoch);
  v("attempt_epoch", c.attempt_epoch);
  v("digest", c.digest);
  v("size_bytes", c.size_bytes);
  v("accuracy_ratio", c.accuracy_ratio);
  v("metric_points", c.metric_points);
  v("pinned", c.pinned);
  v("create_time", c.create_time);
}

template <class V, class T>
void VisitSlot(V& v, T& s) {
  v("index", s.index);
  v("device", s.device);
  v("description", s.description);
  v("memory_bytes", s.memory_bytes);
}

template <class V, class T>
void VisitWorker(V& v, T& w) {
  v("id", w.id);
  v("incarnation", w.incarnation);
  v("version", w.version);
  v("hostname", w.hostname);
  v("labels", w.labels);
  v("spec_version", w.spec_version);
  v("register_time", w.register_time);
  v("last_seen_time", w.last_seen_time);
  v("lost", w.lost);
}

std::string Dump(const Json& json) {
  // Texts come from users and trainers: bytes that are no UTF-8 must not stop the store.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// nlohmann/json speaks through exceptions; they end here.
template <class T, class Read>
absl::StatusOr<T> Decode(const char* noun, std::string_view text, Read&& read) {
  try {
    T value;
    const Json json = Json::parse(text);
    read(json, value);
    return value;
  } catch (const std::exception& error) {
    return absl::DataLossError(
        fmt::format("database: a {} that cannot be read: {}", noun, error.what()));
  }
}

void ReadStatus(const Json& json, JobStatus& status) {
  Reader v(json);
  VisitStatus(v, status);
  if (json.contains("progress")) {
    Reader progress(json["progress"]);
    VisitProgress(progress, status.progress);
  }
  if (json.contains("result")) {
    Reader result(json["result"]);
    VisitResult(result, status.result.emplace());
  }
}

std::shared_ptr<const spec::JobSpec> ReadSpec(const Json& json, const base::JobId& job) {
  // What was right when it was accepted is not refused now; a newer program may know better.
  std::vector<base::FieldFault> faults;
  auto spec = std::make_shared<spec::JobSpec>(spec::FromJson(json, "spec.", faults));
  for (const auto& fault : faults) {
    base::LogWarning(fmt::format("stored spec job={} field={} value={} allowed=\"{}\"", job.value(),
                                 fault.field, fault.value, fault.allowed));
  }
  return spec;
}

}  // namespace

std::string ToText(const JobRecord& job) {
  Writer v;
  VisitJob(v, job);
  v.json["spec"] = spec::ToJson(*job.spec);
  return Dump(v.json);
}

std::string ToText(const JobStatus& status) {
  Writer v;
  VisitStatus(v, status);
  Writer progress;
  VisitProgress(progress, status.progress);
  v.json["progress"] = std::move(progress.json);
  if (status.result) {
    Writer result;
    VisitResult(result, *status.result);
    v.json["result"] = std::move(result.json);
  }
  return Dump(v.json);
}

std::string ToText(const AttemptRecord& attempt) {
  Writer v;
  VisitAttempt(v, attempt);
  return Dump(v.json);
}

std::string ToText(const CheckpointRecord& checkpoint) {
  Writer v;
  VisitCheckpoint(v, checkpoint);
  for (const CheckpointFile& file : checkpoint.files) {
    Writer item;
    VisitFile(item, file);
    v.json["files"].push_back(std::move(item.json));
  }
  return Dump(v.json);
}

std::string ToText(const WorkerRecord& worker) {
  Writer v;
  VisitWorker(v, worker);
  for (const Slot& slot : worker.slots) {
    Writer item;
    VisitSlot(item, slot);
    v.json["slots"].push_back(std::move(item.json));
  }
  if (worker.data_sets) {
    v.json["data_sets"] = Json::array();
    for (const DataSet& set : *worker.data_sets) {
      v.json["data_sets"].push_back(
          {{"name", spec::ToWord(set.name)}, {"fingerprint", set.fingerprint}});
    }
  }
  return Dump(v.json);
}

absl::StatusOr<JobRecord> ReadJob(std::string_view fixed, std::string_view status) {
  ASSIGN_OR_RETURN(auto job, (Decode<JobRecord>("job", fixed, [](const Json& json, JobRecord& to) {
                     Reader v(json);
                     VisitJob(v, to);
                     to.spec = ReadSpec(json.at("spec"), to.id);
                   })));
  ASSIGN_OR_RETURN(job.status, Decode<JobStatus>("job status", status, ReadStatus));
  return job;
}

absl::StatusOr<AttemptRecord> ReadAttempt(std::string_view text) {
  return Decode<AttemptRecord>("job attempt", text, [](const Json& json, AttemptRecord& to) {
    Reader v(json);
    VisitAttempt(v, to);
  });
}

absl::StatusOr<CheckpointRecord> ReadCheckpoint(std::string_view text) {
  return Decode<CheckpointRecord>("checkpoint", text, [](const Json& json, CheckpointRecord& to) {
    Reader v(json);
    VisitCheckpoint(v, to);
    for (const Json& item : json.at("files")) {
      Reader file(item);
      VisitFile(file, to.files.emplace_back());
    }
  });
}

absl::StatusOr<WorkerRecord> ReadWorker(std::string_view text) {
  return Decode<WorkerRecord>("worker", text, [](const Json& json, WorkerRecord& to) {
    Reader v(json);
    VisitWorker(v, to);
    for (const Json& item : json.at("slots")) {
      Reader slot(item);
      VisitSlot(slot, to.slots.emplace_back());
    }
    if (!json.contains("data_sets")) return;
    to.data_sets.emplace();
    for (const Json& item : json["data_sets"]) {
      const auto name = spec::FindDataName(item.at("name").get_ref<const std::string&>());
      if (name) to.data_sets->push_back({*name, item.at("fingerprint")});
    }
  });
}

}  // namespace bsnn::store
