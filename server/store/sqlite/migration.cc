#include "server/store/sqlite/migration.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/fault.h"
#include "base/status.h"
#include "server/store/sqlite/codec.h"
#include "spec/packed_spec.h"

namespace bsnn::store {
namespace {

using Json = nlohmann::json;

// Version 1 is history: nothing below changes when records get new members.

/// Reads leniently what is absent and strictly what is there: wrong types throw, and end in
/// Convert.
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
  void operator()(const char* name, PackedLabels& labels) {
    if (const Json* found = Find(name)) labels = found->get<PackedLabels::Map>();
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
  std::string wanted;
  v("wanted_id", wanted);
  j.id_wanted = !wanted.empty();
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

/// nlohmann/json speaks through exceptions; they end here. `noun` names the record for people.
template <class Read>
absl::Status Convert(std::string_view noun, std::string_view text, Read&& read) {
  try {
    return read(Json::parse(text));
  } catch (const std::exception& error) {
    return absl::DataLossError(fmt::format(
        "database: {} of version 1 cannot be read: {}; nothing was changed", noun, error.what()));
  }
}

/// Calls `take(row)` for each row of `sql`.
template <class Take>
absl::Status ForEach(Database& database, const char* sql, Take&& take) {
  ASSIGN_OR_RETURN(Statement rows, database.Prepare(sql));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return absl::OkStatus();
    RETURN_IF_ERROR(take(rows));
  }
}

absl::Status TakeOverJobs(Database& database) {
  ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare("INSERT INTO jobs(sequence, id, spec, fixed, status) VALUES(?,?,?,?,?)"));
  return ForEach(
      database, "SELECT sequence, id, fixed, status FROM jobs_1 ORDER BY sequence",
      [&](Statement& row) {
        JobRecord job;
        const std::string noun = fmt::format("job {}", row.Text(1));
        std::string spec;
        RETURN_IF_ERROR(Convert(noun, row.Text(2), [&](const Json& json) -> absl::Status {
          Reader v(json);
          VisitJob(v, job);
          std::vector<base::FieldFault> faults;
          spec = spec::Pack(spec::FromJson(json.at("spec"), "spec.", faults));
          if (faults.empty()) return absl::OkStatus();
          return absl::DataLossError(fmt::format(
              "database: {} of version 1 has {} = {} (allowed: {}); nothing was changed", noun,
              faults[0].field, faults[0].value, faults[0].allowed));
        }));
        RETURN_IF_ERROR(Convert("the status of " + noun, row.Text(3), [&](const Json& json) {
          ReadStatus(json, job.status);
          return absl::OkStatus();
        }));
        return insert.Bind(row.Integer(0))
            .Bind(row.Text(1))
            .BindBlob(spec)
            .BindBlob(Encode(job))
            .BindBlob(Encode(job.status))
            .Run();
      });
}

absl::Status TakeOverAttempts(Database& database) {
  ASSIGN_OR_RETURN(Statement insert,
                   database.Prepare("INSERT INTO attempts(job, epoch, record) VALUES(?,?,?)"));
  return ForEach(
      database, "SELECT job, epoch, record, id FROM attempts_1 JOIN jobs_1 ON sequence = job",
      [&](Statement& row) {
        AttemptRecord attempt;
        RETURN_IF_ERROR(Convert(fmt::format("an attempt of job {}", row.Text(3)), row.Text(2),
                                [&](const Json& json) {
                                  Reader v(json);
                                  VisitAttempt(v, attempt);
                                  return absl::OkStatus();
                                }));
        return insert.Bind(row.Integer(0)).Bind(row.Integer(1)).BindBlob(Encode(attempt)).Run();
      });
}

absl::Status TakeOverCheckpoints(Database& database) {
  ASSIGN_OR_RETURN(Statement insert,
                   database.Prepare("INSERT INTO checkpoints(job, id, record) VALUES(?,?,?)"));
  return ForEach(
      database,
      "SELECT c.job, c.id, c.record, j.id FROM checkpoints_1 c JOIN jobs_1 j ON j.sequence = c.job",
      [&](Statement& row) {
        CheckpointRecord checkpoint;
        const std::string noun = fmt::format("checkpoint {} of job {}", row.Text(1), row.Text(3));
        RETURN_IF_ERROR(Convert(noun, row.Text(2), [&](const Json& json) {
          Reader v(json);
          VisitCheckpoint(v, checkpoint);
          for (const Json& item : json.at("files")) {
            Reader file(item);
            VisitFile(file, checkpoint.files.emplace_back());
          }
          return absl::OkStatus();
        }));
        return insert.Bind(row.Integer(0)).Bind(row.Text(1)).BindBlob(Encode(checkpoint)).Run();
      });
}

absl::Status TakeOverWorkers(Database& database) {
  ASSIGN_OR_RETURN(Statement insert,
                   database.Prepare("INSERT INTO workers(id, record) VALUES(?,?)"));
  return ForEach(database, "SELECT id, record FROM workers_1", [&](Statement& row) {
    WorkerRecord worker;
    RETURN_IF_ERROR(
        Convert(fmt::format("worker {}", row.Text(0)), row.Text(1), [&](const Json& json) {
          Reader v(json);
          VisitWorker(v, worker);
          for (const Json& item : json.at("slots")) {
            Reader slot(item);
            VisitSlot(slot, worker.slots.emplace_back());
          }
          return absl::OkStatus();
        }));
    return insert.Bind(row.Text(0)).BindBlob(Encode(worker)).Run();
  });
}

}  // namespace

absl::Status SetAsideVersion1(Database& database) {
  return database.Execute(R"(
ALTER TABLE jobs RENAME TO jobs_1;
ALTER TABLE last_sequence RENAME TO last_sequence_1;
ALTER TABLE retired RENAME TO retired_1;
ALTER TABLE attempts RENAME TO attempts_1;
ALTER TABLE checkpoints RENAME TO checkpoints_1;
ALTER TABLE workers RENAME TO workers_1;
ALTER TABLE series RENAME TO series_1;
ALTER TABLE points RENAME TO points_1;
ALTER TABLE logs RENAME TO logs_1;
)");
}

absl::Status TakeOverVersion1(Database& database) {
  RETURN_IF_ERROR(TakeOverJobs(database));
  RETURN_IF_ERROR(TakeOverAttempts(database));
  RETURN_IF_ERROR(TakeOverCheckpoints(database));
  RETURN_IF_ERROR(TakeOverWorkers(database));
  return database.Execute(R"(
UPDATE last_sequence SET value = (SELECT value FROM last_sequence_1);
INSERT INTO retired(id, newest_epoch) SELECT id, newest_epoch FROM retired_1 ORDER BY number;
INSERT INTO series(id, job, name, layer, split, time_step, newest)
  SELECT id, job, name, layer, split, time_step, newest FROM series_1;
INSERT INTO points(job, arrival, series, step, epoch, value)
  SELECT job, arrival, series, step, epoch, value FROM points_1 ORDER BY job, arrival;
INSERT INTO logs(job, arrival, time, attempt_epoch, severity, message)
  SELECT job, arrival, time, attempt_epoch, severity, message FROM logs_1 ORDER BY job, arrival;
INSERT INTO histories(job, lines) SELECT job, count(*) FROM logs GROUP BY job;
DROP TABLE jobs_1; DROP TABLE last_sequence_1; DROP TABLE retired_1; DROP TABLE attempts_1;
DROP TABLE checkpoints_1; DROP TABLE workers_1; DROP TABLE series_1; DROP TABLE points_1;
DROP TABLE logs_1;
)");
}

}  // namespace bsnn::store
