#include "server/store/sqlite/codec.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <type_traits>
#include <utility>

#include "base/status.h"
#include "base/tagged_fields.h"

// Each record has one Visit function, for writing and reading: `v(number, member)`. Its numbers are
// frozen: a member keeps its number, a new one takes the next, one that goes leaves a gap.
namespace bsnn::store {
namespace {

using base::TaggedKind;

constexpr char kRecordVersion = 1;
constexpr uint32_t kNumberMax = 31;

template <class V, class T>
void VisitProgress(V& v, T& p) {
  v(1, p.step);
  v(2, p.steps_total);
  v(3, p.epoch);
  v(4, p.epochs_total);
  v(5, p.images_per_second);
  v(6, p.eta_seconds);
  v(7, p.update_time);
}

template <class V, class T>
void VisitResult(V& v, T& r) {
  v(1, r.accuracy_ratio);
  v(2, r.steps);
  v(3, r.checkpoint);
  v(4, r.checkpoint_digest);
}

template <class V, class T>
void VisitStatus(V& v, T& s) {
  v(1, s.state);
  v(2, s.version);
  v(3, s.newest_epoch);
  v(4, s.restart_count);
  v(5, s.not_before);
  v(6, s.start_time);
  v(7, s.end_time);
  v(8, s.update_time);
  v(9, s.cancel_time);
  v(10, s.failure_class);
  v(11, s.message);
  v(12, s.metric_points);
  v(13, s.metric_points_dropped);
  v(14, s.progress);
  v(15, s.result);
  v(16, s.failures_in_row);
}

template <class V, class T>
void VisitJob(V& v, T& j) {
  std::string wanted = j.id_wanted ? j.id.value() : std::string();  // the id, as version 1 had it
  v(1, wanted);
  if constexpr (!std::is_const_v<T>) j.id_wanted = !wanted.empty();
  v(2, j.request_id);
  v(3, j.display_name);
  v(4, j.labels);
  v(5, j.create_time);
}

template <class V, class T>
void VisitAttempt(V& v, T& a) {
  v(1, a.epoch);
  v(2, a.worker);
  v(3, a.incarnation);
  v(4, a.slot);
  v(5, a.start_time);
  v(6, a.end_time);
  v(7, a.failure_class);
  v(8, a.message);
  v(9, a.resumed_from_step);
  v(10, a.acknowledged_sequence);
  v(11, a.finished);
  v(12, a.stop);
}

template <class V, class T>
void VisitFile(V& v, T& f) {
  v(1, f.name);
  v(2, f.size_bytes);
  v(3, f.sha256);
}

template <class V, class T>
void VisitCheckpoint(V& v, T& c) {
  v(2, c.id);  // 1 was never used: the job is the row's
  v(3, c.step);
  v(4, c.epoch);
  v(5, c.attempt_epoch);
  v(6, c.digest);
  v(7, c.files);
  v(8, c.size_bytes);
  v(9, c.accuracy_ratio);
  v(10, c.pinned);
  v(11, c.create_time);
  v(12, c.metric_points);
}

template <class V, class T>
void VisitSlot(V& v, T& s) {
  v(1, s.index);
  v(2, s.device);
  v(3, s.description);
  v(4, s.memory_bytes);
}

template <class V, class T>
void VisitDataSet(V& v, T& d) {
  v(1, d.name);
  v(2, d.fingerprint);
}

template <class V, class T>
void VisitWorker(V& v, T& w) {
  v(1, w.id);
  v(2, w.incarnation);
  v(3, w.slots);
  v(4, w.version);
  v(5, w.hostname);
  v(6, w.labels);
  v(7, w.data_sets);
  v(8, w.spec_version);
  v(9, w.register_time);
  v(10, w.last_seen_time);
  v(11, w.lost);
}

// What a member that is a record, or a list of records, consists of.
template <class V, class T>
void VisitMembers(V& v, T& record) {
  using Record = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Record, JobProgress>) {
    VisitProgress(v, record);
  } else if constexpr (std::is_same_v<Record, JobResult>) {
    VisitResult(v, record);
  } else if constexpr (std::is_same_v<Record, CheckpointFile>) {
    VisitFile(v, record);
  } else if constexpr (std::is_same_v<Record, Slot>) {
    VisitSlot(v, record);
  } else {
    static_assert(std::is_same_v<Record, DataSet>);
    VisitDataSet(v, record);
  }
}

/// Leaves out what reads as the same when it is absent: texts that are empty, numbers that are 0,
/// times that have not come.
class Writer {
 public:
  explicit Writer(std::string& out) : fields_(out) {}

  void operator()(uint32_t number, const absl::Time& time) {
    if (time == absl::InfiniteFuture() || time == absl::InfinitePast()) return;
    fields_.Integer(number, absl::ToUnixNanos(time));
  }
  void operator()(uint32_t number, double value) {
    if (std::bit_cast<uint64_t>(value) != 0) fields_.Number(number, value);
  }
  void operator()(uint32_t number, const std::string& text) {
    if (!text.empty()) fields_.Bytes(number, text);
  }
  template <class Tag>
  void operator()(uint32_t number, const base::Id<Tag>& id) {
    (*this)(number, id.value());
  }
  void operator()(uint32_t number, const std::map<std::string, std::string>& labels) {
    (*this)(number, PackedLabels(labels));
  }
  void operator()(uint32_t number, const PackedLabels& labels) {
    if (!labels.bytes().empty()) fields_.Bytes(number, labels.bytes());
  }
  template <class T>
  void operator()(uint32_t number, const std::vector<T>& records) {
    std::string bytes;
    base::TaggedWriter list(bytes);
    for (const T& record : records) list.Bytes(1, BytesOf(record));
    fields_.Bytes(number, bytes);
  }
  template <class T>
  void operator()(uint32_t number, const std::optional<T>& value) {
    if (value) (*this)(number, *value);
  }
  template <class T>
  void operator()(uint32_t number, const Boxed<T>& value) {
    if (value) (*this)(number, *value);
  }
  template <class T>
  void operator()(uint32_t number, const T& value) {
    if constexpr (std::is_enum_v<T> || std::is_integral_v<T>) {
      fields_.Integer(number, static_cast<int64_t>(value));
    } else {
      fields_.Bytes(number, BytesOf(value));
    }
  }

 private:
  template <class T>
  static std::string BytesOf(const T& record) {
    std::string bytes;
    Writer writer(bytes);
    VisitMembers(writer, record);
    return bytes;
  }
  base::TaggedWriter fields_;
};

/// Reads leniently what is absent, which keeps its default, and strictly what is there. Numbers
/// that no member asks for are passed over.
class Reader {
 public:
  explicit Reader(std::string_view bytes) {
    base::TaggedReader reader(bytes);
    while (reader.Next()) {
      if (reader.number() > kNumberMax) {
        Fail("field number {} is too large", reader.number());
        return;
      }
      there_ |= 1U << reader.number();
      fields_[reader.number()] = reader;
    }
    if (reader.broken()) Fail("its bytes are broken", 0);
  }
  /// What was wrong; empty where all was right.
  const std::string& fault() const { return fault_; }

  void operator()(uint32_t number, absl::Time& time) {
    if (const auto* field = Find(number, TaggedKind::kInteger)) {
      time = absl::FromUnixNanos(field->integer());
    }
  }
  void operator()(uint32_t number, double& value) {
    if (const auto* field = Find(number, TaggedKind::kNumber)) value = field->real();
  }
  void operator()(uint32_t number, std::string& text) {
    if (const auto* field = Find(number, TaggedKind::kBytes)) text = field->bytes();
  }
  template <class Tag>
  void operator()(uint32_t number, base::Id<Tag>& id) {
    const auto* field = Find(number, TaggedKind::kBytes);
    if (field == nullptr) return;
    auto made = base::Id<Tag>::Make(field->bytes());
    if (!made.ok()) return Fail("field {} is no id", number);
    id = *std::move(made);
  }
  void operator()(uint32_t number, std::map<std::string, std::string>& labels) {
    const auto* field = Find(number, TaggedKind::kBytes);
    if (field == nullptr) return;
    base::TaggedReader list(field->bytes());
    while (list.Next()) {
      const std::string key(list.bytes());
      if (list.kind() != TaggedKind::kBytes || !list.Next() || list.kind() != TaggedKind::kBytes) {
        return Fail("field {} is no list of labels", number);
      }
      labels[key] = list.bytes();
    }
    if (list.broken()) Fail("field {} is no list of labels", number);
  }
  template <class T>
  void operator()(uint32_t number, std::vector<T>& records) {
    const auto* field = Find(number, TaggedKind::kBytes);
    if (field == nullptr) return;
    base::TaggedReader list(field->bytes());
    while (list.Next()) {
      if (list.kind() != TaggedKind::kBytes) return Fail("field {} is no list", number);
      ReadRecord(list.bytes(), records.emplace_back());
    }
    if (list.broken()) Fail("field {} is no list", number);
  }
  void operator()(uint32_t number, PackedLabels& labels) {
    PackedLabels::Map map;
    (*this)(number, map);
    labels = map;
  }
  template <class T>
  void operator()(uint32_t number, std::optional<T>& value) {
    if ((there_ >> number & 1) != 0) (*this)(number, value.emplace());
  }
  template <class T>
  void operator()(uint32_t number, Boxed<T>& value) {
    if ((there_ >> number & 1) != 0) (*this)(number, value.emplace());
  }
  template <class T>
  void operator()(uint32_t number, T& value) {
    if constexpr (std::is_enum_v<T> || std::is_integral_v<T>) {
      const auto* field = Find(number, TaggedKind::kInteger);
      if (field == nullptr) return;
      value = static_cast<T>(field->integer());
      if (static_cast<int64_t>(value) != field->integer()) Fail("field {} is too large", number);
    } else if (const auto* field = Find(number, TaggedKind::kBytes)) {
      ReadRecord(field->bytes(), value);
    }
  }

 private:
  const base::TaggedReader* Find(uint32_t number, TaggedKind kind) {
    if ((there_ >> number & 1) == 0) return nullptr;
    const base::TaggedReader& field = *fields_[number];
    if (field.kind() == kind) return &field;
    Fail("field {} is of another kind", number);
    return nullptr;
  }
  template <class T>
  void ReadRecord(std::string_view bytes, T& record) {
    Reader reader(bytes);
    VisitMembers(reader, record);
    if (fault_.empty()) fault_ = reader.fault();
  }
  void Fail(const char* format, uint32_t number) {
    if (fault_.empty()) fault_ = fmt::format(fmt::runtime(format), number);
  }

  uint32_t there_ = 0;  // bit n: field n
  std::array<std::optional<base::TaggedReader>, kNumberMax + 1> fields_;
  std::string fault_;
};

template <class T, class Visit>
std::string Encode(const T& record, Visit&& visit) {
  std::string bytes(1, kRecordVersion);
  Writer writer(bytes);
  visit(writer, record);
  return bytes;
}

template <class T, class Visit>
absl::StatusOr<T> Decode(const char* noun, std::string_view bytes, Visit&& visit) {
  std::string fault;
  T record;
  if (bytes.empty() || bytes[0] != kRecordVersion) {
    fault = "it is of no version that this program knows";
  } else {
    Reader reader(bytes.substr(1));
    visit(reader, record);
    fault = reader.fault();
  }
  if (fault.empty()) return record;
  return absl::DataLossError(
      fmt::format("database: a {} that cannot be read: {}", noun, std::move(fault)));
}

}  // namespace

std::string Encode(const JobRecord& job) {
  return Encode(job, [](auto& v, auto& j) { VisitJob(v, j); });
}
std::string Encode(const JobStatus& status) {
  return Encode(status, [](auto& v, auto& s) { VisitStatus(v, s); });
}
std::string Encode(const AttemptRecord& attempt) {
  return Encode(attempt, [](auto& v, auto& a) { VisitAttempt(v, a); });
}
std::string Encode(const CheckpointRecord& checkpoint) {
  return Encode(checkpoint, [](auto& v, auto& c) { VisitCheckpoint(v, c); });
}
std::string Encode(const WorkerRecord& worker) {
  return Encode(worker, [](auto& v, auto& w) { VisitWorker(v, w); });
}

absl::StatusOr<JobRecord> DecodeJob(std::string_view fixed) {
  return Decode<JobRecord>("job", fixed, [](auto& v, auto& j) { VisitJob(v, j); });
}
absl::StatusOr<JobStatus> DecodeStatus(std::string_view bytes) {
  ASSIGN_OR_RETURN(JobStatus status, Decode<JobStatus>("job status", bytes, [](auto& v, auto& s) {
                     VisitStatus(v, s);
                   }));
  if (status.state >= JobState::kQueued && status.state <= JobState::kExpired) return status;
  return absl::DataLossError(fmt::format("database: a job status with state {}, which is none",
                                         static_cast<int>(status.state)));
}
absl::StatusOr<AttemptRecord> DecodeAttempt(std::string_view bytes) {
  return Decode<AttemptRecord>("job attempt", bytes, [](auto& v, auto& a) { VisitAttempt(v, a); });
}
absl::StatusOr<CheckpointRecord> DecodeCheckpoint(std::string_view bytes) {
  return Decode<CheckpointRecord>("checkpoint", bytes,
                                  [](auto& v, auto& c) { VisitCheckpoint(v, c); });
}
absl::StatusOr<WorkerRecord> DecodeWorker(std::string_view bytes) {
  return Decode<WorkerRecord>("worker", bytes, [](auto& v, auto& w) { VisitWorker(v, w); });
}

}  // namespace bsnn::store
