#include "base/retry.h"

#include <gtest/gtest.h>

#include "base/fault.h"

namespace bsnn::base {
namespace {

TEST(Backoff, DoublesUpToItsLimitAndStartsAgainAfterASuccess) {
  Backoff backoff({.first = absl::Seconds(1), .max = absl::Seconds(3)}, [] { return uint64_t{0}; });
  EXPECT_EQ(backoff.Next(), absl::Seconds(1));
  EXPECT_EQ(backoff.Next(), absl::Seconds(2));
  EXPECT_EQ(backoff.Next(), absl::Seconds(3));
  EXPECT_EQ(backoff.Next(), absl::Seconds(3));
  EXPECT_EQ(backoff.tries(), 4);
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), absl::Seconds(1));
}

TEST(Backoff, JitterCutsAtMostAHalf) {
  Backoff backoff({.first = absl::Seconds(1), .max = absl::Seconds(1)}, SystemRandomBits());
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration wait = backoff.Next();
    EXPECT_GE(wait, absl::Milliseconds(500));
    EXPECT_LE(wait, absl::Seconds(1));
  }
}

TEST(Retry, OnlyWhatTimeMayCureIsRetried) {
  EXPECT_TRUE(IsRetryable(absl::UnavailableError("")));
  EXPECT_FALSE(IsRetryable(absl::DataLossError("")));
  EXPECT_FALSE(IsRetryable(absl::ResourceExhaustedError(""))) << "a limit is final";
  EXPECT_FALSE(IsRetryable(absl::FailedPreconditionError("")));
  EXPECT_FALSE(IsRetryable(InvalidFields({{"a", "b", "c"}})));
}

}  // namespace
}  // namespace bsnn::base
