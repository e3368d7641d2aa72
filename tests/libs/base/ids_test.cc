#include "base/ids.h"

#include <gtest/gtest.h>

namespace bsnn::base {
namespace {

TEST(Ids, OnlySafeTextsAreIds) {
  EXPECT_TRUE(IsId("mnist-1"));
  EXPECT_TRUE(IsId(std::string(63, 'a')));
  for (const char* bad : {"", "A", "a/b", "..", "a_b", "a b", "a\n", "\xC3\xA4"}) {
    EXPECT_FALSE(IsId(bad)) << bad;
  }
  EXPECT_FALSE(IsId(std::string(64, 'a')));
}

TEST(Ids, AWrongIdIsNamedWithWhatIsAllowed) {
  const auto id = JobId::Make("../etc");
  EXPECT_EQ(id.status().message(), "job id is '../etc' (allowed: [a-z0-9-], 1 to 63 characters)");
}

TEST(Ids, MadeIdsKeepTheirPrefixAndAreIds) {
  const RandomBits zero = [] { return uint64_t{0}; };
  EXPECT_EQ(MakeIdText("mnist", zero), "mnist-22222222");
  EXPECT_EQ(MakeIdText("Not An Id", zero), "job-22222222");
  EXPECT_TRUE(IsId(MakeIdText(std::string(63, 'a'), SystemRandomBits())));
  EXPECT_NE(MakeIdText("a", SystemRandomBits()), MakeIdText("a", SystemRandomBits()));
}

}  // namespace
}  // namespace bsnn::base
