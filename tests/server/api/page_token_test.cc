#include "server/api/page_token.h"

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

void ExpectBad(const absl::Status& status) {
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(ReasonOf(status), "PAGE_TOKEN_INVALID");
  EXPECT_THAT(FieldsOf(status), testing::ElementsAre("page_token"));
}

TEST(PageToken, GivesItsPlaceBackInItsScopeOnly) {
  const std::string token = MakePageToken("ListJobs 3", "job-a");
  EXPECT_EQ(*ReadPageToken("page_token", "ListJobs 3", token), "job-a");
  ExpectBad(ReadPageToken("page_token", "ListJobs 4", token).status());
  ExpectBad(ReadPageToken("page_token", "", token).status());
}

TEST(PageToken, TheBorderBetweenScopeAndPlaceIsPartOfIt) {
  ExpectBad(ReadPageToken("page_token", "a\nb", MakePageToken("a", "b\nc")).status());
}

TEST(PageToken, EmptyIsTheBeginning) {
  EXPECT_EQ(*ReadPageToken("page_token", "ListJobs", ""), "");
  EXPECT_EQ(*ReadNumberToken("page_token", "ListJobs", ""), 0);
}

TEST(PageToken, EveryChangedCharacterIsNoticed) {
  const std::string token = MakePageToken("ListJobs", "17");
  std::string plain;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(token, &plain));
  for (size_t i = 0; i < plain.size(); ++i) {
    std::string changed = plain;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ExpectBad(ReadPageToken("page_token", "ListJobs", absl::WebSafeBase64Escape(changed)).status());
  }
}

TEST(PageToken, EveryCutIsNoticed) {
  const std::string token = MakePageToken("ListJobs", "job-a");
  for (size_t size = 1; size < token.size(); ++size) {
    ExpectBad(ReadPageToken("page_token", "ListJobs", token.substr(0, size)).status());
  }
}

TEST(PageToken, WhatIsNoTokenIsRefused) {
  ExpectBad(ReadPageToken("page_token", "ListJobs", "not base 64!").status());
  const std::string long_token = MakePageToken("ListJobs", std::string(600, 'x'));
  ExpectBad(ReadPageToken("page_token", "ListJobs", long_token).status());
}

TEST(PageToken, NumbersAreReadStrictly) {
  const auto read = [](const std::string& place) {
    return ReadNumberToken("page_token", "s", MakePageToken("s", place));
  };
  EXPECT_EQ(*read("9007199254740993"), 9007199254740993);
  EXPECT_EQ(*read("0"), 0);
  for (const char* place : {"-1", "1x", "99999999999999999999"}) ExpectBad(read(place).status());
}

}  // namespace
}  // namespace bsnn::api
