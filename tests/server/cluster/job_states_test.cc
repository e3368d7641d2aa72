#include "server/cluster/job_states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace bsnn::cluster {
namespace {

TEST(JobStates, EachPairOfStateAndTriggerIsThereOnce) {
  std::set<std::pair<JobState, Trigger>> pairs;
  for (const Transition& row : Transitions()) {
    EXPECT_TRUE(pairs.insert({row.from, row.trigger}).second);
    EXPECT_EQ(Next(row.from, row.trigger), row.to);
  }
}

TEST(JobStates, NothingLeavesAFinalStateAndEverythingElseCanEnd) {
  std::set<JobState> reach_end;
  for (int round = 0; round < 10; ++round) {
    for (const Transition& row : Transitions()) {
      EXPECT_FALSE(IsFinal(row.from));
      if (IsFinal(row.to) || reach_end.contains(row.to)) reach_end.insert(row.from);
    }
  }
  EXPECT_EQ(reach_end, (std::set{JobState::kQueued, JobState::kStarting, JobState::kRunning,
                                 JobState::kCancelling}));
}

TEST(JobStates, EveryStateWithAnAttemptSaysWhatItsEndLeadsTo) {
  for (const JobState state : {JobState::kStarting, JobState::kRunning}) {
    EXPECT_TRUE(HasAttempt(state));
    for (const Trigger trigger : {Trigger::kRetry, Trigger::kSucceeded, Trigger::kFailed,
                                  Trigger::kCancel, Trigger::kExpired}) {
      EXPECT_TRUE(Next(state, trigger).has_value()) << ToWord(state);
    }
  }
  EXPECT_EQ(Next(JobState::kCancelling, Trigger::kStopped), JobState::kCancelled);
  EXPECT_EQ(Next(JobState::kCancelling, Trigger::kSucceeded), JobState::kSucceeded);
  EXPECT_FALSE(Next(JobState::kCancelling, Trigger::kRetry).has_value());
  EXPECT_FALSE(HasAttempt(JobState::kQueued));
}

TEST(JobStates, OnlyWhatARetryMayCureIsRetried) {
  EXPECT_TRUE(IsRetryable(FailureClass::kWorkerLost));
  EXPECT_TRUE(IsRetryable(FailureClass::kInfrastructure));
  EXPECT_TRUE(IsRetryable(FailureClass::kHang));
  EXPECT_FALSE(IsRetryable(FailureClass::kUserError));
  EXPECT_FALSE(IsRetryable(FailureClass::kDeadline));
  EXPECT_FALSE(IsRetryable(FailureClass::kNone));
}

TEST(JobStates, TheDocumentHasTheDiagram) {
  std::ifstream file(BSNN_ROOT "/docs/job-states.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), testing::HasSubstr(MermaidDiagram()));
}

}  // namespace
}  // namespace bsnn::cluster
