#include "worker/agent/attempt_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace bsnn::agent {
namespace {

using Kind = Command::Kind;
using testing::ElementsAre;
using testing::IsEmpty;

AttemptKey Key(const std::string& job, int epoch = 1) {
  return {.job = *base::JobId::Make(job), .epoch = epoch};
}

Order RunOf(const AttemptKey& key, int slot = 0) { return {.key = key, .slot = slot}; }
Order StopOf(const AttemptKey& key, absl::Duration grace = absl::Seconds(30)) {
  return {.key = key, .action = Action::kStop, .grace = grace};
}

std::vector<std::string> Texts(const std::vector<Command>& commands) {
  constexpr const char* kNames[] = {"start", "stop", "forget"};
  std::vector<std::string> texts;
  for (const Command& command : commands) {
    texts.push_back(std::string(kNames[static_cast<int>(command.kind)]) + " " +
                    command.order.key.ToText());
  }
  return texts;
}

TEST(AttemptTable, StartsAnOrderOnce) {
  AttemptTable table(1);
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a"))})), ElementsAre("start a.1"));
  EXPECT_THAT(table.Apply({RunOf(Key("a"))}), IsEmpty());
  EXPECT_THAT(table.Reports(), ElementsAre(Report{.key = Key("a")}));
}

TEST(AttemptTable, LeavesAnAttemptAloneWhoseOrderCannotBeRead) {
  AttemptTable table(2);
  table.Apply({RunOf(Key("a")), RunOf(Key("b"), 1)});
  EXPECT_THAT(Texts(table.ApplyReply({.unreadable = {Key("a")}})), ElementsAre("forget b.1"));
  EXPECT_THAT(table.ApplyReply({.names_all = false}), IsEmpty());
  EXPECT_THAT(Texts(table.Apply({})), ElementsAre("forget a.1"));
}

TEST(AttemptTable, StartsNothingWithoutASpec) {
  AttemptTable table(1);
  EXPECT_THAT(table.Apply({{.key = Key("a"), .has_spec = false}}), IsEmpty());
  EXPECT_THAT(table.Reports(), IsEmpty()) << "so that the next reply brings it";
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a"))})), ElementsAre("start a.1"));
}

TEST(AttemptTable, ForgetsWhatIsNotNamedAndStopsReportingIt) {
  AttemptTable table(1);
  table.Apply({RunOf(Key("a"))});
  EXPECT_THAT(Texts(table.Apply({})), ElementsAre("forget a.1"));
  EXPECT_THAT(table.Reports(), IsEmpty());
  EXPECT_THAT(table.Apply({}), IsEmpty());
  EXPECT_EQ(table.size(), 1);
  table.Gone(Key("a"));
  EXPECT_EQ(table.size(), 0);
}

TEST(AttemptTable, ANewEpochWaitsForItsSlotUntilTheOldOneHasEnded) {
  AttemptTable table(1);
  table.Apply({RunOf(Key("a", 1))});
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a", 2))})), ElementsAre("forget a.1"));
  EXPECT_THAT(table.Apply({RunOf(Key("a", 2))}), IsEmpty());
  table.Gone(Key("a", 1));
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a", 2))})), ElementsAre("start a.2"));
}

TEST(AttemptTable, AnAttemptWhoseTrainerHasEndedHoldsNoSlot) {
  AttemptTable table(1);
  table.Apply({RunOf(Key("a"))});
  table.SetState({.key = Key("a"), .phase = Phase::kEnded, .events_pending = 7});
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a")), RunOf(Key("b"))})), ElementsAre("start b.1"));
  EXPECT_EQ(table.Reports().front().events_pending, 7);
}

TEST(AttemptTable, GivesEachSlotItsAttempt) {
  AttemptTable table(2);
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a"), 0), RunOf(Key("b"), 1), RunOf(Key("c"), 1)})),
              ElementsAre("start a.1", "start b.1"));
}

TEST(AttemptTable, StopIsPassedOnOnceWithItsGrace) {
  AttemptTable table(1);
  table.Apply({RunOf(Key("a"))});
  const auto commands = table.Apply({StopOf(Key("a"), absl::Seconds(7))});
  EXPECT_THAT(Texts(commands), ElementsAre("stop a.1"));
  EXPECT_EQ(commands.front().order.grace, absl::Seconds(7));
  EXPECT_THAT(table.Apply({StopOf(Key("a"))}), IsEmpty());
  // A RUN that was overtaken does not start it again.
  EXPECT_THAT(table.Apply({RunOf(Key("a"))}), IsEmpty());
}

TEST(AttemptTable, AStopOfAnUnknownAttemptIsStartedAndStoppedSoThatItsEndIsReported) {
  AttemptTable table(1);
  table.Apply({RunOf(Key("other"))});
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("other")), StopOf(Key("a"))})),
              ElementsAre("start a.1", "stop a.1"));
}

TEST(AttemptTable, ASlotBeyondTheLastIsAFaultThatNamesIt) {
  AttemptTable table(2);
  const auto commands = table.Apply({RunOf(Key("a"), 2)});
  ASSERT_THAT(Texts(commands), ElementsAre("start a.1"));
  EXPECT_EQ(commands.front().order.fault, "slot is 2 (allowed: 0 to 1)");
  // It holds no slot.
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a"), 2), RunOf(Key("b"), 1)})),
              ElementsAre("start b.1"));
}

TEST(AttemptTable, DrainStopsEverythingOnceAndWhatStillArrives) {
  AttemptTable table(2);
  table.Apply({RunOf(Key("a"), 0)});
  const auto commands = table.Drain(absl::Seconds(45));
  EXPECT_THAT(Texts(commands), ElementsAre("stop a.1"));
  EXPECT_EQ(commands.front().order.grace, absl::Seconds(45));
  EXPECT_THAT(table.Apply({StopOf(Key("a"))}), IsEmpty());
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a"), 0), RunOf(Key("b"), 1)})),
              ElementsAre("start b.1", "stop b.1"));
}

TEST(AttemptTable, AnAttemptNamedTwiceCountsOnce) {
  AttemptTable table(2);
  EXPECT_THAT(Texts(table.Apply({RunOf(Key("a"), 0), StopOf(Key("a"))})), ElementsAre("start a.1"));
}

}  // namespace
}  // namespace bsnn::agent
