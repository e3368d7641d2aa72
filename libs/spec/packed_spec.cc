#include "spec/packed_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "base/check.h"
#include "base/tagged_fields.h"
#include "spec/field_table.h"

namespace bsnn::spec {
namespace {

using base::TaggedKind;
using base::TaggedReader;
using base::TaggedWriter;

struct FieldNumber {
  std::string_view path;
  uint32_t number;
};

// Frozen: a number is never changed and never given twice. A new field takes the next one.
constexpr FieldNumber kFieldNumbers[] = {
    {"network.name", 1},
    {"network.kind", 2},
    {"network.time_steps", 3},
    {"network.ends", 4},
    {"neuron.decay", 5},
    {"neuron.threshold", 6},
    {"neuron.reset", 7},
    {"neuron.detach_reset", 8},
    {"neuron.surrogate", 9},
    {"neuron.surrogate_width", 10},
    {"binarization.method", 11},
    {"binarization.sharpness_start", 12},
    {"binarization.sharpness_end", 13},
    {"agmm.reduce", 14},
    {"agmm.alpha_mode", 15},
    {"agmm.alpha_init", 16},
    {"agmm.gradient", 17},
    {"agmm.input", 18},
    {"agmm.place", 19},
    {"loss.name", 20},
    {"loss.tet_lambda", 21},
    {"loss.tet_phi", 22},
    {"loss.label_smoothing", 23},
    {"loss.firing_rate_lambda", 24},
    {"loss.firing_rate_target", 25},
    {"optimizer.name", 26},
    {"optimizer.learning_rate", 27},
    {"optimizer.binary_rate_factor", 28},
    {"optimizer.momentum", 29},
    {"optimizer.weight_decay", 30},
    {"optimizer.beta1", 31},
    {"optimizer.beta2", 32},
    {"optimizer.epsilon", 33},
    {"optimizer.flip_threshold", 34},
    {"optimizer.flip_rate", 35},
    {"optimizer.flip_square_rate", 36},
    {"optimizer.gradient_clip", 37},
    {"schedule.name", 38},
    {"schedule.warmup_epochs", 39},
    {"schedule.step_epochs", 40},
    {"schedule.step_factor", 41},
    {"data.name", 42},
    {"data.train_limit", 43},
    {"data.test_limit", 44},
    {"data.picture_side", 45},
    {"data.frames_by", 46},
    {"data.frame_duration_us", 47},
    {"data.frame_values", 48},
    {"data.frame_side", 49},
    {"data.split", 50},
    {"augmentation.resized_crop", 51},
    {"augmentation.crop_padding", 52},
    {"augmentation.flip", 53},
    {"augmentation.auto_augment", 54},
    {"augmentation.cutout", 55},
    {"augmentation.roll", 56},
    {"training.epochs", 57},
    {"training.batch_size", 58},
    {"training.batch_parts", 59},
    {"training.seed", 60},
    {"training.report_every_steps", 61},
    {"training.precision", 62},
    {"training.products", 63},
    {"training.batch_norm_over", 64},
    {"checkpoint.every_epochs", 65},
    {"checkpoint.every_steps", 66},
    {"checkpoint.keep_latest", 67},
    {"checkpoint.keep_best", 68},
    {"resources.slots", 69},
    {"resources.device", 70},
    {"resources.threads", 71},
    {"resources.loader_threads", 72},
    {"scheduling.priority", 73},
    {"scheduling.max_restarts", 74},
    {"scheduling.restart_backoff_seconds", 75},
    {"scheduling.deadline_seconds", 76},
    {"scheduling.grace_seconds", 77},
};

struct Entry {
  uint32_t number = 0;
  const Field* field = nullptr;
};

/// The table of fields in the order of their numbers.
const std::vector<Entry>& Entries() {
  static const auto* const entries = [] {
    auto* made = new std::vector<Entry>();
    for (const Field& field : FieldTable()) made->push_back({FieldNumberOf(field.path), &field});
    std::sort(made->begin(), made->end(),
              [](const Entry& a, const Entry& b) { return a.number < b.number; });
    BSNN_CHECK(made->front().number > 0);  // each field of spec_fields.h has its row above
    return made;
  }();
  return *entries;
}

const JobSpec& Defaults() {
  static const JobSpec defaults;
  return defaults;
}

uint64_t BitsOf(double value) { return std::bit_cast<uint64_t>(value); }

void WriteField(TaggedWriter& writer, const Entry& entry, const JobSpec& spec) {
  const Field& field = *entry.field;
  switch (field.kind) {
    case FieldKind::kChoice:
    case FieldKind::kInteger: {
      const auto value = GetMember<int32_t>(spec, field);
      if (value != GetMember<int32_t>(Defaults(), field)) writer.Integer(entry.number, value);
      return;
    }
    case FieldKind::kNumber: {
      const auto value = GetMember<double>(spec, field);
      if (BitsOf(value) != BitsOf(GetMember<double>(Defaults(), field))) {
        writer.Number(entry.number, value);
      }
      return;
    }
    case FieldKind::kFlag: {
      const auto value = GetMember<bool>(spec, field);
      if (value != GetMember<bool>(Defaults(), field)) writer.Integer(entry.number, value ? 1 : 0);
      return;
    }
  }
}

absl::Status Wrong(std::string text) {
  return absl::InvalidArgumentError("packed spec: " + std::move(text));
}

/// Sets one field from what `reader` is at.
absl::Status ReadField(const TaggedReader& reader, const Field& field, JobSpec& spec) {
  const bool is_number = field.kind == FieldKind::kNumber;
  if (reader.kind() != (is_number ? TaggedKind::kNumber : TaggedKind::kInteger)) {
    return Wrong(fmt::format("{} has a value of another kind", field.path));
  }
  if (is_number) {
    SetMember(spec, field, reader.real());
    return absl::OkStatus();
  }
  const int64_t value = reader.integer();
  int64_t min = INT32_MIN;
  int64_t max = INT32_MAX;
  if (field.kind == FieldKind::kChoice) {
    min = 0;
    max = static_cast<int64_t>(field.words.size()) - 1;
  } else if (field.kind == FieldKind::kFlag) {
    min = 0;
    max = 1;
  }
  if (value < min || value > max) {
    return Wrong(
        fmt::format("{} is {} (this program knows {} to {})", field.path, value, min, max));
  }
  if (field.kind == FieldKind::kFlag) {
    SetMember(spec, field, value == 1);
  } else {
    SetMember(spec, field, static_cast<int32_t>(value));
  }
  return absl::OkStatus();
}

}  // namespace

uint32_t FieldNumberOf(std::string_view path) {
  for (const FieldNumber& row : kFieldNumbers) {
    if (row.path == path) return row.number;
  }
  return 0;
}

std::string Pack(const JobSpec& spec) {
  std::string bytes(1, static_cast<char>(kPackedVersion));
  TaggedWriter writer(bytes);
  for (const Entry& entry : Entries()) WriteField(writer, entry, spec);
  return bytes;
}

absl::StatusOr<JobSpec> Unpack(std::string_view bytes) {
  if (bytes.empty()) return Wrong("it is empty");
  if (bytes[0] != kPackedVersion) {
    return Wrong(fmt::format("version {} (this program knows {})", static_cast<uint8_t>(bytes[0]),
                             kPackedVersion));
  }
  JobSpec spec = Defaults();
  TaggedReader reader(bytes.substr(1));
  while (reader.Next()) {
    const auto entry = std::lower_bound(
        Entries().begin(), Entries().end(), reader.number(),
        [](const Entry& candidate, uint32_t number) { return candidate.number < number; });
    if (entry == Entries().end() || entry->number != reader.number()) {
      return Wrong(fmt::format("field number {} is not known to this program", reader.number()));
    }
    if (const absl::Status status = ReadField(reader, *entry->field, spec); !status.ok()) {
      return status;
    }
  }
  if (reader.broken()) return Wrong("its bytes are broken");
  // The order of fields, fields given twice, defaults written out, long varints: all at once.
  if (Pack(spec) != bytes) return Wrong("its bytes are not in the one form that is written");
  return spec;
}

}  // namespace bsnn::spec
