#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "spec/field_table.h"
#include "wire/crc32c.h"
#include "wire/event.h"
#include "wire/names.h"
#include "wire/spec.h"
#include "wire/status.h"

namespace bsnn::wire {
namespace {

using base::FieldFault;

TEST(WireStatus, FaultsAndReasonComeBack) {
  const std::vector<FieldFault> faults = {{"spec.a", "1 (allowed: odd)", "2 to 3"},
                                          {"spec.b", "\"x\"", "y (z)"}};
  const absl::Status sent =
      base::WithReason(base::InvalidFields(faults), {"FIELDS_INVALID", {{"job", "a"}}});
  const absl::Status back = FromGrpc(ToGrpc(sent));
  EXPECT_EQ(back.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(base::FaultsOf(back), faults);
  EXPECT_EQ(base::ReasonOf(back), base::ReasonOf(sent));
}

TEST(WireStatus, EveryErrorCarriesErrorInfo) {
  const grpc::Status status = ToGrpc(absl::NotFoundError("no job 'a'"));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details_size() == 1 && details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "bsnn.v1");
  EXPECT_EQ(info.reason(), "NOT_FOUND");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(WireStatus, DetailsFitTheTrailersAndAllSpecFieldsAreStillNamed) {
  std::vector<FieldFault> faults;
  for (const auto& row : spec::DescribeFields()) {
    faults.push_back({"job.spec." + row.path, std::string(128, 'v'), row.allowed});
  }
  const grpc::Status status = ToGrpc(base::InvalidFields(faults));
  EXPECT_LT(status.error_details().size() + status.error_message().size(), 6000u);
  const auto back = base::FaultsOf(FromGrpc(status));
  ASSERT_EQ(back.size(), faults.size());
  for (size_t i = 0; i < faults.size(); ++i) EXPECT_EQ(back[i].field, faults[i].field);

  for (int i = 0; i < 5000; ++i) faults.push_back({"unknown" + std::to_string(i), "1", "nothing"});
  const grpc::Status huge = ToGrpc(base::InvalidFields(faults));
  EXPECT_LT(huge.error_details().size(), 6000u);
  EXPECT_NE(base::FaultsOf(FromGrpc(huge)).back().value.find("more wrong fields"),
            std::string::npos);
}

TEST(WireStatus, AForeignStatusKeepsCodeAndMessage) {
  const absl::Status back = FromGrpc({grpc::StatusCode::UNAVAILABLE, "gone", "not a message"});
  EXPECT_EQ(back, absl::UnavailableError("gone"));
}

/// Dotted paths of every field of a message, two levels deep.
std::set<std::string> PathsOf(const google::protobuf::Descriptor& descriptor) {
  std::set<std::string> paths;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const auto* section = descriptor.field(i);
    for (int j = 0; j < section->message_type()->field_count(); ++j) {
      paths.insert(section->name() + "." + section->message_type()->field(j)->name());
    }
  }
  return paths;
}

TEST(WireSpec, MessageAndPlainValuesHaveTheSameFields) {
  std::set<std::string> described;
  for (const auto& row : spec::DescribeFields()) described.insert(row.path);
  EXPECT_EQ(PathsOf(*v1::JobSpec::descriptor()), described);
}

TEST(WireSpec, DefaultsAndChangesSurvive) {
  spec::JobSpec spec;
  spec.network.kind = spec::NetworkKind::kBsnn;
  spec.optimizer.learning_rate = 0.1 + 0.2;
  spec.neuron.detach_reset = true;
  std::vector<FieldFault> faults;
  EXPECT_EQ(spec::CanonicalText(FromProto(ToProto(spec), "", faults)), spec::CanonicalText(spec));
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(spec::CanonicalText(FromProto(v1::JobSpec(), "", faults)),
            spec::CanonicalText(spec::JobSpec()));
}

TEST(WireSpec, WrongFieldsAreNamedWithTheirPath) {
  v1::JobSpec message;
  message.mutable_network()->set_time_steps(0);
  message.mutable_network()->set_name("resnet");
  message.mutable_optimizer()->set_learning_rate(std::nan(""));
  std::vector<FieldFault> faults;
  FromProto(message, "job.spec.", faults);
  ASSERT_EQ(faults.size(), 3u);
  EXPECT_EQ(faults[0].field, "job.spec.network.name");
  EXPECT_EQ(faults[1].field, "job.spec.network.time_steps");
  EXPECT_EQ(faults[2].field, "job.spec.optimizer.learning_rate");
}

TEST(WireSpec, EveryFieldKeepsItsValueBothWays) {
  // A value of each field that is not its default; one section's contradictions do not matter here.
  for (const spec::Field& field : spec::FieldTable()) {
    spec::JobSpec spec;
    switch (field.kind) {
      case spec::FieldKind::kChoice:
        spec::SetMember(spec, field, static_cast<int32_t>(field.words.size() - 1));
        break;
      case spec::FieldKind::kInteger:
        spec::SetMember(spec, field, static_cast<int32_t>(field.max));
        break;
      case spec::FieldKind::kNumber:
        spec::SetMember(spec, field, field.max);
        break;
      case spec::FieldKind::kFlag:
        spec::SetMember(spec, field, true);
        break;
    }
    std::vector<FieldFault> faults;
    const spec::JobSpec back = FromProto(ToProto(spec), "", faults);
    EXPECT_EQ(spec::CanonicalText(back), spec::CanonicalText(spec)) << field.path;
  }
}

TEST(WireSpec, FaultsSayTheSameAsThoseOfAJobFile) {
  // Each wrong in the message and in the JSON form alike.
  v1::JobSpec message;
  message.mutable_network()->set_name("resnet\"50");
  message.mutable_network()->set_time_steps(65);
  message.mutable_neuron()->set_decay(1.5);
  message.mutable_schedule()->set_warmup_epochs(3);
  message.mutable_training()->set_seed(-7);
  std::vector<FieldFault> of_message;
  FromProto(message, "job.spec.", of_message);
  std::vector<FieldFault> of_json;
  spec::FromJson(nlohmann::json::parse(R"({
      "network": {"name": "resnet\"50", "time_steps": 65}, "neuron": {"decay": 1.5},
      "schedule": {"warmup_epochs": 3}, "training": {"seed": -7}})"),
                 "job.spec.", of_json);
  EXPECT_EQ(of_message.size(), 5u);
  EXPECT_EQ(of_message, of_json);
}

TEST(WireSpec, NumbersThatJsonHasNoFormForAreShownAsTheirNames) {
  v1::JobSpec message;
  message.mutable_neuron()->set_decay(std::nan(""));
  message.mutable_neuron()->set_threshold(-std::numeric_limits<double>::infinity());
  std::vector<FieldFault> faults;
  FromProto(message, "", faults);
  EXPECT_EQ(faults, (std::vector<FieldFault>{
                        {"neuron.decay", "\"NaN\"", "number 0 to 1"},
                        {"neuron.threshold", "\"-Infinity\"", "number 0.001 to 100"}}));
}

TEST(WireEvent, EveryKindSurvives) {
  const absl::Time time = absl::FromUnixMicros(1'700'000'000'123'456);
  const std::vector<spec::Event> events = {
      {1, time, spec::Started{"cpu", 2, 100, 90, 938, 2814, 5}},
      {2, time, spec::Progress{20, 2814, 1, 3, 1500.25, 117.5}},
      {3, time, spec::MetricPoint{"alpha", "conv2", "", 1, 938, 1, 0.1 + 0.2}},
      {5, time, spec::CheckpointWritten{938, 1, "checkpoints/step-00000938", "abc", 12, 0.97}},
      {6, time, spec::LogLine{spec::Severity::kError, "x"}},
      {7, time,
       spec::Finished{spec::Outcome::kStopped, 9, 0.5, "d", spec::TrainerFailure::kNone, "m"}},
      {8, time,
       spec::Finished{spec::Outcome::kFailed, 9, 0.5, "", spec::TrainerFailure::kInfrastructure,
                      ""}},
      {9, time,
       spec::Finished{spec::Outcome::kFailed, 9, 0.5, "", spec::TrainerFailure::kDataUnavailable,
                      ""}}};
  for (const auto& event : events) {
    const auto back = FromProto(ToProto(event));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, event);
  }
}

TEST(WireEvent, AFailureOfANewerWorkerIsWorthARetry) {
  v1::Event event;
  event.set_sequence(1);
  event.mutable_finished()->set_outcome(v1::Finished::FAILED);
  event.mutable_finished()->set_failure_class("out_of_patience");
  const auto read = FromProto(event);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(std::get<spec::Finished>(read->kind).failure, spec::TrainerFailure::kInfrastructure);
}

TEST(WireEvent, OutOfRangeFieldsAreRefused) {
  v1::Event event;
  EXPECT_FALSE(FromProto(event).ok());
  event.set_sequence(1);
  EXPECT_FALSE(FromProto(event).ok());
  event.mutable_metric()->set_name("loss");
  EXPECT_TRUE(FromProto(event).ok());
  event.mutable_metric()->set_step(-1);
  EXPECT_EQ(base::FaultsOf(FromProto(event).status()).at(0).field, "metric.step");
  event.mutable_finished();
  EXPECT_FALSE(FromProto(event).ok());
}

TEST(WireEvent, AnyTimestampIsReadWithoutHarm) {
  google::protobuf::Timestamp time;
  time.set_seconds(INT64_MAX);
  time.set_nanos(-5);
  EXPECT_EQ(FromProtoTime(time), absl::FromUnixSeconds(253402300799));
  EXPECT_EQ(FromProtoTime(ToProtoTime(absl::InfiniteFuture())),
            absl::FromUnixSeconds(253402300799));
}

TEST(WireNames, NamesAreParsedStrictly) {
  EXPECT_EQ(ParseJobName("name", "jobs/a-1")->value(), "a-1");
  EXPECT_EQ(CheckpointName(*base::JobId::Make("a"), *base::CheckpointId::Make("a1-step-00000002")),
            "jobs/a/checkpoints/a1-step-00000002");
  EXPECT_EQ(ParseCheckpointName("name", "jobs/a/checkpoints/b")->checkpoint.value(), "b");
  for (const char* bad :
       {"", "a", "jobs/", "jobs/A", "jobs/a/", "jobs/../a", "workers/a", "jobs/a/checkpoints/"}) {
    EXPECT_EQ(base::FaultsOf(ParseJobName("name", bad).status()).at(0).field, "name") << bad;
    EXPECT_FALSE(ParseCheckpointName("name", bad).ok()) << bad;
  }
}

TEST(Crc32c, MatchesTheCheckValueOfItsDefinition) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

}  // namespace
}  // namespace bsnn::wire
