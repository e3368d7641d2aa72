#include "spec/job_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace bsnn::spec {
namespace {

using base::FaultsOf;
using base::FieldFault;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;

std::vector<FieldFault> FaultsIn(std::string_view text) {
  return FaultsOf(ParseJobSpec(text).status());
}

TEST(JobSpec, AnEmptyObjectIsTheDefaults) {
  const auto spec = ParseJobSpec("{}");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(CanonicalText(*spec), CanonicalText(JobSpec()));
}

TEST(JobSpec, EveryFieldSurvivesWritingAndReading) {
  nlohmann::json changed = ToJson(JobSpec());
  changed["network"] = {
      {"name", "bireal_resnet8"}, {"ends", "float"}, {"kind", "snn"}, {"time_steps", 4}};
  changed["agmm"]["reduce"] = "channel";
  changed["neuron"]["detach_reset"] = true;
  changed["optimizer"]["learning_rate"] = 0.123456789012345;
  const auto spec = ParseJobSpec(changed.dump());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(ToJson(*spec), changed);
}

TEST(JobSpec, EveryWrongFieldIsNamedInOneReply) {
  EXPECT_THAT(FaultsIn(R"({"network": {"name": "resnet", "time_steps": 0, "depth": 3},
                           "neuron": {"detach_reset": "yes"}, "loss": 7, "colour": {"a": 1},
                           "training": {"epochs": 1.5, "batch_size": "64"}})"),
              testing::UnorderedElementsAre(
                  FieldFault{"network.name", "\"resnet\"",
                             "convnet, bireal_resnet8, bireal_resnet18, bireal_resnet19, "
                             "bireal_resnet34, resnet18, "
                             "resnet19, resnet20, vgg11, vggsnn, sew_resnet18"},
                  FieldFault{"network.time_steps", "0", "whole number 1 to 64"},
                  Field(&FieldFault::field, "network.depth"),
                  FieldFault{"neuron.detach_reset", "\"yes\"", "true, false"},
                  FieldFault{"loss", "7", "an object"}, Field(&FieldFault::field, "colour"),
                  FieldFault{"training.epochs", "1.5", "whole number 1 to 100000"},
                  FieldFault{"training.batch_size", "\"64\"", "whole number 1 to 65536"}));
}

TEST(JobSpec, AugmentationOfOtherDataIsRefused) {
  EXPECT_THAT(
      FaultsIn(R"({"augmentation": {"auto_augment": true, "resized_crop": true}})"),
      testing::UnorderedElementsAre(Field(&FieldFault::field, "augmentation.auto_augment"),
                                    Field(&FieldFault::field, "augmentation.resized_crop")));
  EXPECT_THAT(FaultsIn(R"({"data": {"name": "cifar100"}, "augmentation": {"auto_augment": true}})"),
              testing::IsEmpty());
  EXPECT_THAT(FaultsIn(R"({"data": {"name": "image_folder"},
                           "augmentation": {"auto_augment": true, "resized_crop": true}})"),
              testing::IsEmpty());
}

TEST(JobSpec, NumbersAreRefusedJustOutsideTheirRange) {
  for (const auto& row : DescribeFields()) {
    double low = 0, high = 0;
    if (sscanf(row.allowed.c_str(), "%*[a-z ]%lf to %lf", &low, &high) != 2) continue;
    const size_t dot = row.path.find('.');
    const auto with = [&](double value) {
      nlohmann::json json;
      json[row.path.substr(0, dot)][row.path.substr(dot + 1)] = value;
      return json.dump();
    };
    EXPECT_THAT(FaultsIn(with(low - 1)), Contains(Field(&FieldFault::field, row.path)));
    EXPECT_THAT(FaultsIn(with(high * 1.01 + 1)), Contains(Field(&FieldFault::field, row.path)));
  }
}

TEST(JobSpec, NanAndHugeNumbersAreRefused) {
  EXPECT_THAT(FaultsIn(R"({"optimizer": {"learning_rate": "NaN"}})"), testing::SizeIs(1));
  EXPECT_THAT(FaultsIn(R"({"training": {"seed": 1e300}})"), testing::SizeIs(1));
  EXPECT_THAT(FaultsIn(R"({"training": {"seed": 18446744073709551615}})"), testing::SizeIs(1));
}

TEST(JobSpec, TextsThatAreNotAJsonObjectAreRefused) {
  for (const char* text : {"", "{", "[]", "null", "3", "{\"a\":", "\xff"}) {
    EXPECT_THAT(FaultsIn(text), testing::SizeIs(1)) << text;
  }
  EXPECT_FALSE(ParseJobSpec(std::string(100'000, '[')).ok());
  EXPECT_EQ(ParseJobSpec(std::string(2 << 20, ' ')).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(JobSpec, FieldsThatContradictEachOtherAreNamed) {
  EXPECT_THAT(FaultsIn(R"({"schedule": {"warmup_epochs": 3}, "training": {"epochs": 3}})"),
              ElementsAre(FieldFault{"schedule.warmup_epochs", "3",
                                     "less than training.epochs, which is 3"}));
  EXPECT_THAT(FaultsIn(R"({"optimizer": {"name": "bop"}, "network": {"kind": "snn"}})"),
              ElementsAre(FieldFault{"network.kind", "\"snn\"",
                                     "bsnn_agmm, bsnn where optimizer.name is bop"},
                          FieldFault{"binarization.method", "\"standardized\"",
                                     "sign where optimizer.name is bop"}));
  EXPECT_THAT(FaultsIn(R"({"optimizer": {"binary_rate_factor": 0.5}, "network": {"kind": "snn"}})"),
              ElementsAre(FieldFault{
                  "optimizer.binary_rate_factor", "0.5",
                  "1 where network.kind is snn or optimizer.name is bop or t_bso: no latent binary "
                  "weights"}));
  EXPECT_THAT(FaultsIn(R"({"training": {"batch_size": 2, "batch_parts": 3}})"),
              ElementsAre(FieldFault{"training.batch_parts", "3",
                                     "at most training.batch_size, which is 2"}));
  EXPECT_THAT(FaultsIn(R"({"checkpoint": {"keep_latest": 500, "keep_best": 400}})"), IsEmpty());
  EXPECT_THAT(FaultsIn(R"({"checkpoint": {"keep_latest": 501, "keep_best": 400}})"),
              ElementsAre(FieldFault{"checkpoint.keep_latest", "501",
                                     "at most 900 less checkpoint.keep_best, which is 400: pinned "
                                     "ones need room"}));
  EXPECT_THAT(FaultsIn(R"({"data": {"frame_side": 48}})"),
              ElementsAre(FieldFault{"data.frame_values", "\"counts\"",
                                     "share_of_max where data.frame_side is not 0: small counts do "
                                     "not survive resizing"}));
}

TEST(JobSpec, DefaultsAreValidAndDescribedFieldByField) {
  std::vector<FieldFault> faults;
  Validate(JobSpec(), "job.spec.", faults);
  EXPECT_THAT(faults, IsEmpty());
  size_t fields = 0;
  for (const auto& section : ToJson(JobSpec())) fields += section.size();
  EXPECT_EQ(DescribeFields().size(), fields);
}

}  // namespace
}  // namespace bsnn::spec
