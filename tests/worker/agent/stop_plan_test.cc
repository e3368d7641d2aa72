#include "worker/agent/stop_plan.h"

#include <gtest/gtest.h>

namespace bsnn::agent {
namespace {

using Step = StopPlan::Step;
constexpr absl::Duration kStart = absl::Seconds(100);

TEST(StopPlan, AsksAtOnceAndKillsAfterTheGrace) {
  StopPlan plan;
  EXPECT_EQ(plan.Next(kStart), Step::kNone);
  plan.Stop(kStart, absl::Seconds(30));
  EXPECT_TRUE(plan.stopping());
  EXPECT_EQ(plan.Next(kStart), Step::kAsk);
  EXPECT_EQ(plan.Next(kStart + absl::Seconds(29)), Step::kNone);
  EXPECT_EQ(plan.Next(kStart + absl::Seconds(30)), Step::kKill);
  EXPECT_TRUE(plan.killed());
  EXPECT_EQ(plan.Next(kStart + absl::Seconds(60)), Step::kNone);
}

TEST(StopPlan, KillDoesNotAsk) {
  StopPlan plan;
  plan.Kill(kStart);
  EXPECT_EQ(plan.Next(kStart), Step::kKill);
}

TEST(StopPlan, ALaterRequestOnlyBringsTheKillForward) {
  StopPlan plan;
  plan.Stop(kStart, absl::Seconds(30));
  EXPECT_EQ(plan.Next(kStart), Step::kAsk);
  plan.Stop(kStart, absl::Seconds(60));
  plan.Stop(kStart + absl::Seconds(5), absl::Seconds(5));
  EXPECT_EQ(plan.Next(kStart + absl::Seconds(9)), Step::kNone);
  EXPECT_EQ(plan.Next(kStart + absl::Seconds(10)), Step::kKill);
  EXPECT_EQ(plan.grace(), absl::Seconds(5));
}

TEST(StopPlan, ANegativeGraceIsNone) {
  StopPlan plan;
  plan.Stop(kStart, -absl::Seconds(1));
  EXPECT_EQ(plan.Next(kStart), Step::kAsk);
  EXPECT_EQ(plan.Next(kStart), Step::kKill);
}

}  // namespace
}  // namespace bsnn::agent
