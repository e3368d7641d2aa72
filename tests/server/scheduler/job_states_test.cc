#include "server/scheduler/job_states.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "server/scheduler/ready_queue.h"

namespace bsnn::scheduler {
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

TEST(JobStates, TheDocumentHasTheDiagram) {
  std::ifstream file(BSNN_ROOT "/docs/job-states.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), testing::HasSubstr(MermaidDiagram()));
}

TEST(ReadyQueue, GoesByPriorityThenAgeAndDevice) {
  using spec::Device;
  ReadyQueue queue;
  EXPECT_FALSE(queue.FirstFor(Device::kCpu).has_value());
  queue.Insert({0, 1, Device::kCuda});
  queue.Insert({0, 2, Device::kAny});
  queue.Insert({5, 3, Device::kAny});
  queue.Insert({0, 4, Device::kCpu});
  EXPECT_EQ(queue.FirstFor(Device::kCpu), 3);
  EXPECT_EQ(queue.FirstFor(Device::kCuda), 3);
  EXPECT_EQ(queue.PositionOf({0, 4, Device::kCpu}), 4);
  EXPECT_EQ(queue.PositionOf({9, 9, Device::kCpu}), 1);
  queue.Erase({5, 3, Device::kAny});
  EXPECT_EQ(queue.FirstFor(Device::kCuda), 1);
  EXPECT_EQ(queue.FirstFor(Device::kCpu), 2);
}

}  // namespace
}  // namespace bsnn::scheduler
