#include "base/fault.h"

#include <gtest/gtest.h>

namespace bsnn::base {
namespace {

TEST(Fault, EveryWrongFieldIsInTheMessageAndInThePayload) {
  const std::vector<FieldFault> faults = {{"network.time_steps", "0", "whole number 1 to 64"},
                                          {"data.name", "\"imagenet\"", "mnist, generated"}};
  const absl::Status status = InvalidFields(faults);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "2 wrong fields: network.time_steps is 0 (allowed: whole number 1 to 64); data.name is "
            "\"imagenet\" (allowed: mnist, generated)");
  EXPECT_EQ(FaultsOf(status), faults);
}

TEST(Fault, ReasonTravelsBesideTheFaults) {
  absl::Status status = InvalidFields({{"a", "1", "2"}});
  status = WithReason(status, {"FIELDS_INVALID", {{"job", "mnist-1"}}});
  EXPECT_EQ(ReasonOf(status), (Reason{"FIELDS_INVALID", {{"job", "mnist-1"}}}));
  EXPECT_EQ(FaultsOf(status).size(), 1u);
}

TEST(Fault, PlainStatusHasNeither) {
  EXPECT_TRUE(FaultsOf(absl::NotFoundError("x")).empty());
  EXPECT_EQ(ReasonOf(absl::OkStatus()).reason, "");
}

TEST(Fault, BytesThatAreNotUtf8DoNotBreakThePayload) {
  EXPECT_EQ(FaultsOf(InvalidFields({{"f", "\xff\xfe", "text"}})).size(), 1u);
}

TEST(Shorten, CutsOnACharacterBoundary) {
  EXPECT_EQ(Shorten("abcdef", 6), "abcdef");
  EXPECT_EQ(Shorten("abcdefg", 6), "abc...");
  EXPECT_EQ(Shorten("\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4", 6), "\xC3\xA4...");
  EXPECT_EQ(Shorten("abcdef", 2), "...");
}

}  // namespace
}  // namespace bsnn::base
