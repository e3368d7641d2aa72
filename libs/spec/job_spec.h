/// The job specification: what to train and how to run it, as plain values.
///
/// The JSON form has one object per section, with these names. An absent field means its default.
/// spec_fields.h is the one table of names, ranges, defaults and meanings; reading, writing, the
/// checks and the printed reference all come from it. proto/bsnn/v1/spec.proto says the same fields
/// (a test holds the two together).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"

namespace bsnn::spec {

/// Grows by one with every field and word that a spec gains. A worker says the newest it can read.
inline constexpr int32_t kSpecVersion = 1;

enum class NetworkName {
  kConvnet,
  kBirealResnet8,
  kBirealResnet18,
  kBirealResnet19,
  kBirealResnet34,
  kResnet18,
  kResnet19,
  kResnet20,
  kVgg11,
  kVggsnn,
  kSewResnet18
};
enum class NetworkKind { kBsnnAgmm, kBsnn, kSnn };
enum class Ends { kFloat, kInt8 };
enum class Precision { kFloat32, kBf16 };
enum class Products { kAuto, kTables };
enum class BatchNormOver { kRank, kAllRanks };
enum class Reset { kHard, kSoft };
enum class Surrogate { kTriangle, kSigmoid, kArctangent, kRectangle };
enum class Binarization { kSign, kMeanAbs, kStandardized };
enum class AgmmReduce { kSample, kChannel, kStep, kSpatial };
enum class AlphaMode { kLearnT, kLearnTc, kFixed };
enum class GateGradient { kFull, kDetach };
enum class GateInput { kSigned, kAbs };
enum class GatePlace { kAfterBn, kBeforeBn, kOnSpikes };
enum class LossName { kCrossEntropy, kTet };
enum class OptimizerName { kSgd, kAdam, kAdamw, kBop, kTbso };
enum class ScheduleName { kCosine, kConstant, kStep };
enum class DataName {
  kMnist,
  kFashionMnist,
  kGenerated,
  kCifar10,
  kCifar100,
  kImageFolder,
  kNMnist,
  kCifar10Dvs,
  kDvsGesture
};
enum class FramesBy { kNumber, kTime, kDuration };
enum class FrameValues { kCounts, kShareOfMax };
enum class DvsSplit { kFirst90, kFrom100, kFirst70 };
enum class Device { kAny, kCpu, kCuda };

struct NetworkSpec {
  NetworkName name = NetworkName::kConvnet;
  NetworkKind kind = NetworkKind::kBsnnAgmm;
  int32_t time_steps = 2;
  Ends ends = Ends::kFloat;
  bool operator==(const NetworkSpec&) const = default;
};

struct NeuronSpec {
  double decay = 0.5;
  double threshold = 1.0;
  Reset reset = Reset::kHard;
  bool detach_reset = false;
  Surrogate surrogate = Surrogate::kTriangle;
  double surrogate_width = 1.0;
  bool operator==(const NeuronSpec&) const = default;
};

struct BinarizationSpec {
  Binarization method = Binarization::kStandardized;
  double sharpness_start = 0.1;
  double sharpness_end = 10.0;
  bool operator==(const BinarizationSpec&) const = default;
};

struct AgmmSpec {
  AgmmReduce reduce = AgmmReduce::kSample;
  AlphaMode alpha_mode = AlphaMode::kLearnT;
  double alpha_init = 1.0;
  GateGradient gradient = GateGradient::kFull;
  GateInput input = GateInput::kSigned;
  GatePlace place = GatePlace::kAfterBn;
  bool operator==(const AgmmSpec&) const = default;
};

struct LossSpec {
  LossName name = LossName::kCrossEntropy;
  double tet_lambda = 0.05;
  double tet_phi = 1.0;
  double label_smoothing = 0.0;
  double firing_rate_lambda = 0.0;
  double firing_rate_target = 0.5;
  bool operator==(const LossSpec&) const = default;
};

struct OptimizerSpec {
  OptimizerName name = OptimizerName::kSgd;
  double learning_rate = 0.05;
  double binary_rate_factor = 1.0;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double flip_threshold = 1e-6;
  double flip_rate = 1e-3;
  double flip_square_rate = 1e-5;
  double gradient_clip = 0.0;
  bool operator==(const OptimizerSpec&) const = default;
};

struct ScheduleSpec {
  ScheduleName name = ScheduleName::kCosine;
  int32_t warmup_epochs = 0;
  int32_t step_epochs = 30;
  double step_factor = 0.1;
  bool operator==(const ScheduleSpec&) const = default;
};

struct DataSpec {
  DataName name = DataName::kMnist;
  int32_t train_limit = 0;
  int32_t test_limit = 0;
  int32_t picture_side = 224;
  FramesBy frames_by = FramesBy::kNumber;
  int32_t frame_duration_us = 50'000;
  FrameValues frame_values = FrameValues::kCounts;
  int32_t frame_side = 0;
  DvsSplit split = DvsSplit::kFirst90;
  bool operator==(const DataSpec&) const = default;
};

struct AugmentationSpec {
  int32_t crop_padding = 0;
  bool resized_crop = false;
  bool flip = false;
  bool auto_augment = false;
  int32_t cutout = 0;
  int32_t roll = 0;
  bool operator==(const AugmentationSpec&) const = default;
};

struct TrainingSpec {
  int32_t epochs = 3;
  int32_t batch_size = 64;
  int32_t batch_parts = 1;
  int32_t seed = 1;
  int32_t report_every_steps = 20;
  Precision precision = Precision::kFloat32;
  Products products = Products::kAuto;
  BatchNormOver batch_norm_over = BatchNormOver::kRank;
  bool operator==(const TrainingSpec&) const = default;
};

struct CheckpointSpec {
  int32_t every_epochs = 1;
  int32_t every_steps = 0;
  int32_t keep_latest = 2;
  int32_t keep_best = 1;
  bool operator==(const CheckpointSpec&) const = default;
};

struct ResourcesSpec {
  int32_t slots = 1;
  Device device = Device::kAny;
  int32_t threads = 0;
  int32_t loader_threads = 1;
  bool operator==(const ResourcesSpec&) const = default;
};

struct SchedulingSpec {
  int32_t priority = 0;
  int32_t max_restarts = 5;
  double restart_backoff_seconds = 1.0;
  int32_t deadline_seconds = 0;
  int32_t grace_seconds = 30;
  bool operator==(const SchedulingSpec&) const = default;
};

struct JobSpec {
  NetworkSpec network;
  NeuronSpec neuron;
  BinarizationSpec binarization;
  AgmmSpec agmm;
  LossSpec loss;
  OptimizerSpec optimizer;
  ScheduleSpec schedule;
  DataSpec data;
  AugmentationSpec augmentation;
  TrainingSpec training;
  CheckpointSpec checkpoint;
  ResourcesSpec resources;
  SchedulingSpec scheduling;
  bool operator==(const JobSpec&) const = default;
};

/// Reads a spec. Every wrong, unknown or contradictory field is one fault, named `prefix` + path
/// ("network.time_steps"), so that one reply can name them all. The returned spec holds what was
/// right; use it only if `faults` got nothing new. `json` is any JSON value.
JobSpec FromJson(const nlohmann::json& json, std::string_view prefix,
                 std::vector<base::FieldFault>& faults);

/// The whole of a spec file: parses the text (at most limits.h kSpecBytesMax) and reads it.
/// InvalidFields (base/fault.h) names every fault.
absl::StatusOr<JobSpec> ParseJobSpec(std::string_view text);

/// Checks a spec however it was made. Appends one fault for each wrong field.
void Validate(const JobSpec& spec, std::string_view prefix, std::vector<base::FieldFault>& faults);

/// What no single field's range can say. Appends a fault for each contradiction between fields of
/// which `faults` names none.
void CheckTogether(const JobSpec& spec, std::string_view prefix,
                   std::vector<base::FieldFault>& faults);

/// Every field written out, defaults too. FromJson(ToJson(spec)) is spec.
nlohmann::json ToJson(const JobSpec& spec);

/// The canonical text (ToJson, no spaces, keys sorted): equal specs have equal texts.
std::string CanonicalText(const JobSpec& spec);

/// One row of the printed reference.
struct FieldDescription {
  std::string path;           ///< "network.time_steps"
  std::string allowed;        ///< "1 to 64"
  std::string default_value;  ///< as JSON
  std::string meaning;
};

/// Every field, in the order of the sections.
std::vector<FieldDescription> DescribeFields();

/// The word of a choice in specs, metrics and messages, such as "bsnn_agmm".
std::string_view ToWord(NetworkName value);
std::string_view ToWord(NetworkKind value);
std::string_view ToWord(OptimizerName value);
std::string_view ToWord(Binarization value);
std::string_view ToWord(DataName value);
/// Nothing where it is no word of DataName.
std::optional<DataName> FindDataName(std::string_view word);
std::string_view ToWord(DvsSplit value);
std::string_view ToWord(Device value);

}  // namespace bsnn::spec
