// Seen: a field of a newer client or coordinator was dropped in silence, and something else was
// trained. Wrong: a spec went from message to values by way of JSON, in which unknown fields are
// not.
#include <gmock/gmock.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include "wire/spec.h"

namespace bsnn {
namespace {

using testing::ElementsAre;

template <class Message>
void AddUnknown(Message& message, int number) {
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(number, 1);
}

std::vector<base::FieldFault> FaultsOf(const v1::JobSpec& message) {
  std::vector<base::FieldFault> faults;
  wire::FromProto(message, "job.spec.", faults);
  return faults;
}

TEST(SpecUnknownFields, AreRefusedByNumberAndSection) {
  v1::JobSpec message;
  AddUnknown(*message.mutable_network(), 17);
  AddUnknown(*message.mutable_network(), 9);
  AddUnknown(*message.mutable_network(), 17);
  AddUnknown(message, 99);
  EXPECT_THAT(
      FaultsOf(message),
      ElementsAre(
          base::FieldFault{"job.spec.network", "has fields of another version, by number 9, 17",
                           "fields of spec version 1"},
          base::FieldFault{"job.spec", "has fields of another version, by number 99",
                           "fields of spec version 1"}));
}

TEST(SpecUnknownFields, AreNamedInOneShortFaultHoweverMany) {
  v1::JobSpec message;
  for (int number = 100; number < 5000; ++number) AddUnknown(message, number);
  EXPECT_THAT(FaultsOf(message),
              ElementsAre(base::FieldFault{
                  "job.spec",
                  "has fields of another version, by number 100, 101, 102, 103, 104, 105, 106, "
                  "107 and 4892 more",
                  "fields of spec version 1"}));
}

TEST(SpecUnknownFields, StandBesideTheOtherFaultsInOneReply) {
  v1::JobSpec message;
  message.mutable_network()->set_time_steps(0);
  AddUnknown(*message.mutable_training(), 50);
  const auto faults = FaultsOf(message);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults[0].field, "job.spec.network.time_steps");
  EXPECT_EQ(faults[1].field, "job.spec.training");
}

}  // namespace
}  // namespace bsnn
