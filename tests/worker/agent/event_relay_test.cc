#include "worker/agent/event_relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/limits.h"

namespace bsnn::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

std::string Line(decltype(spec::Event::kind) kind, int64_t sequence = 1) {
  spec::Event event;
  event.sequence = sequence;
  event.time = kNow;
  event.kind = std::move(kind);
  return spec::ToJsonLine(event);
}

std::string LogText(const std::string& text) {
  return Line(spec::LogLine{spec::Severity::kInfo, text});
}
spec::CheckpointWritten Checkpoint(int64_t step) {
  return {.step = step,
          .epoch = 1,
          .folder = "checkpoints/step",
          .digest = std::string(63, 'a') + static_cast<char>('0' + step % 10),
          .size_bytes = 10,
          .accuracy_ratio = 0.5};
}
spec::Finished Succeeded(const std::string& digest) {
  return {.outcome = spec::Outcome::kSucceeded,
          .step = 9,
          .accuracy_ratio = 0.9,
          .checkpoint_digest = digest,
          .failure = spec::TrainerFailure::kNone,
          .message = ""};
}

std::vector<int64_t> Sequences(const std::vector<spec::Event>& events) {
  std::vector<int64_t> sequences;
  for (const spec::Event& event : events) sequences.push_back(event.sequence);
  return sequences;
}
const spec::LogLine& LogOf(const spec::Event& event) { return std::get<spec::LogLine>(event.kind); }
const spec::Finished& FinishedOf(const std::vector<spec::Event>& batch) {
  return std::get<spec::Finished>(batch.back().kind);
}

TEST(EventRelay, NumbersEventsAnewWhateverTheFileSays) {
  EventRelay relay;
  relay.TakeLine(Line(spec::LogLine{spec::Severity::kInfo, "one"}, 77), kNow);
  relay.TakeLine(Line(spec::LogLine{spec::Severity::kInfo, "two"}, 5), kNow);
  EXPECT_THAT(Sequences(relay.Batch()), ElementsAre(1, 2));
}

TEST(EventRelay, ALineThatIsNoEventBecomesOneWarningInItsPlace) {
  EventRelay relay;
  relay.TakeLine(LogText("one"), kNow);
  relay.TakeLine("{\"sequence\":", kNow);
  relay.TakeFault("longer than 65536 bytes", kNow);
  relay.TakeLine(LogText("four"), kNow);
  const auto batch = relay.Batch();
  EXPECT_THAT(Sequences(batch), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(LogOf(batch[1]).severity, spec::Severity::kWarning);
  EXPECT_THAT(LogOf(batch[2]).message, HasSubstr("longer than 65536 bytes"));
  EXPECT_EQ(LogOf(batch[3]).message, "four");
}

TEST(EventRelay, GivesTheSameBatchUntilItIsAcknowledged) {
  EventRelay relay;
  relay.TakeLine(LogText("one"), kNow);
  EXPECT_EQ(relay.Batch(), relay.Batch());
  relay.TakeLine(LogText("two"), kNow);
  relay.Acknowledge(1);
  EXPECT_THAT(Sequences(relay.Batch()), ElementsAre(2));
  relay.Acknowledge(1);  // an answer that comes late
  EXPECT_THAT(Sequences(relay.Batch()), ElementsAre(2));
  relay.Acknowledge(2);
  EXPECT_THAT(relay.Batch(), IsEmpty());
  EXPECT_EQ(relay.pending(), 0);
}

TEST(EventRelay, HoldsABoundedNumberOfEvents) {
  EventRelay relay;
  int taken = 0;
  while (relay.HasRoom() && taken < 100'000) {
    relay.TakeLine(LogText("x"), kNow);
    ++taken;
  }
  EXPECT_EQ(taken, 2 * base::kEventsPerBatchMax);
  EXPECT_EQ(relay.Batch().size(), base::kEventsPerBatchMax);
  relay.Acknowledge(1);
  EXPECT_TRUE(relay.HasRoom());
}

TEST(EventRelay, ABatchOfLongLinesStaysBelowTheMessageLimit) {
  EventRelay relay;
  for (int i = 0; i < 1000; ++i) relay.TakeLine(LogText(std::string(8000, 'x')), kNow);
  size_t bytes = 0;
  for (const spec::Event& event : relay.Batch()) bytes += LogOf(event).message.size();
  EXPECT_GT(bytes, 1 << 20);
  EXPECT_LT(bytes, base::kMessageBytesMax / 4 * 3);
}

TEST(EventRelay, FinishedWaitsForTheTrainersEndAndForEachUpload) {
  EventRelay relay;
  relay.TakeLine(Line(Checkpoint(1)), kNow);
  relay.TakeLine(Line(Checkpoint(2)), kNow);
  relay.TakeLine(Line(Succeeded(Checkpoint(2).digest)), kNow);
  EXPECT_THAT(Sequences(relay.Batch()), ElementsAre(1, 2));
  relay.EndTrainer({.exit_code = 0}, kNow);
  relay.Acknowledge(2);
  EXPECT_EQ(relay.NextUpload()->checkpoint.step, 1);
  relay.UploadEnded(relay.NextUpload()->checkpoint, absl::OkStatus(), kNow);
  EXPECT_EQ(relay.NextUpload()->checkpoint.step, 2);
  EXPECT_THAT(relay.Batch(), IsEmpty());
  relay.UploadEnded(relay.NextUpload()->checkpoint, absl::OkStatus(), kNow);
  EXPECT_FALSE(relay.NextUpload());
  const auto batch = relay.Batch();
  EXPECT_THAT(Sequences(batch), ElementsAre(3));
  EXPECT_EQ(FinishedOf(batch).outcome, spec::Outcome::kSucceeded);
  EXPECT_FALSE(relay.finished());
  relay.Acknowledge(3);
  EXPECT_TRUE(relay.finished());
}

TEST(EventRelay, AnUploadGivenUpIsSaidBeforeFinished) {
  EventRelay relay;
  relay.TakeLine(Line(Checkpoint(1)), kNow);
  relay.TakeLine(Line(Checkpoint(2)), kNow);
  relay.EndTrainer({.exit_code = 3}, kNow);
  relay.UploadEnded(Checkpoint(1), absl::NotFoundError("gone"), kNow);
  relay.UploadEnded(Checkpoint(2), absl::DataLossError("flipped"), kNow);
  const auto batch = relay.Batch();
  ASSERT_EQ(batch.size(), 5);
  EXPECT_EQ(LogOf(batch[2]).severity, spec::Severity::kInfo);
  EXPECT_THAT(LogOf(batch[2]).message, HasSubstr("retention"));
  EXPECT_THAT(LogOf(batch[3]).message, HasSubstr("flipped"));
  EXPECT_EQ(FinishedOf(batch).outcome, spec::Outcome::kStopped);
}

TEST(EventRelay, ATrainerKilledWithoutALastWordIsReportedWithItsSignalAndLog) {
  EventRelay relay;
  relay.TakeLine(Line(spec::Progress{.step = 40}), kNow);
  relay.EndTrainer({.signal = SIGKILL, .log_tail = "terminate called \xff\xfe"}, kNow);
  const auto batch = relay.Batch();
  ASSERT_EQ(batch.size(), 3);
  EXPECT_EQ(LogOf(batch[1]).severity, spec::Severity::kError);
  EXPECT_THAT(LogOf(batch[1]).message, HasSubstr("terminate called"));
  EXPECT_THAT(LogOf(batch[1]).message, testing::Not(HasSubstr("\xff")));
  EXPECT_EQ(FinishedOf(batch).message, "trainer died: signal 9 (Killed)");
  EXPECT_EQ(FinishedOf(batch).failure, spec::TrainerFailure::kInfrastructure);
  EXPECT_EQ(FinishedOf(batch).step, 40);
}

TEST(EventRelay, ExitStatusesMeanWhatTheTrainerSaysTheyMean) {
  struct Case {
    TrainerEnd end;
    spec::Outcome outcome;
    spec::TrainerFailure failure;
    std::string message;
  };
  const Case cases[] = {{{.exit_code = 0},
                         spec::Outcome::kFailed,
                         spec::TrainerFailure::kInfrastructure,
                         "trainer died: exit status 0"},
                        {{.exit_code = 1},
                         spec::Outcome::kFailed,
                         spec::TrainerFailure::kInfrastructure,
                         "trainer died: exit status 1"},
                        {{.exit_code = 2},
                         spec::Outcome::kFailed,
                         spec::TrainerFailure::kUserError,
                         "the trainer refused the job: exit status 2; see the job's log"},
                        {{.exit_code = 3},
                         spec::Outcome::kStopped,
                         spec::TrainerFailure::kNone,
                         "stopped on request"},
                        {{.signal = SIGKILL, .why_ended = "it did not stop within 5s"},
                         spec::Outcome::kFailed,
                         spec::TrainerFailure::kInfrastructure,
                         "trainer killed: it did not stop within 5s: signal 9 (Killed)"}};
  for (const Case& c : cases) {
    EventRelay relay;
    relay.EndTrainer(c.end, kNow);
    const auto batch = relay.Batch();
    ASSERT_EQ(batch.size(), 1) << c.message;
    EXPECT_EQ(FinishedOf(batch).outcome, c.outcome) << c.message;
    EXPECT_EQ(FinishedOf(batch).failure, c.failure) << c.message;
    EXPECT_EQ(FinishedOf(batch).message, c.message);
  }
}

TEST(EventRelay, TheTrainersOwnLastWordStandsHoweverItsProcessEnds) {
  EventRelay relay;
  relay.TakeLine(Line(Succeeded("")), kNow);
  relay.TakeLine(LogText("after the end"), kNow);
  relay.EndTrainer({.signal = SIGSEGV, .log_tail = "crash at exit"}, kNow);
  const auto batch = relay.Batch();
  ASSERT_EQ(batch.size(), 1);
  EXPECT_EQ(FinishedOf(batch).outcome, spec::Outcome::kSucceeded);
}

TEST(EventRelay, ARefusedEventIsFoundByHalvingAndBecomesAWarning) {
  EventRelay relay;
  for (int i = 0; i < 100; ++i) relay.TakeLine(LogText(i == 57 ? "bad" : "good"), kNow);
  int calls = 0;
  std::vector<std::string> published;
  while (relay.pending() > 0 && calls < 100) {
    ++calls;
    const auto batch = relay.Batch();
    bool bad = false;
    for (const spec::Event& event : batch) bad |= LogOf(event).message == "bad";
    if (bad) {
      relay.Refuse("no such thing", kNow);
      continue;
    }
    for (const spec::Event& event : batch) published.push_back(LogOf(event).message);
    relay.Acknowledge(batch.back().sequence);
  }
  ASSERT_EQ(published.size(), 100);
  EXPECT_EQ(published[57], "an event was refused: no such thing");
  EXPECT_LT(calls, 40);
}

TEST(EventRelay, ARefusedResultBecomesAFailure) {
  EventRelay relay;
  relay.TakeLine(Line(Succeeded("")), kNow);
  relay.EndTrainer({}, kNow);
  relay.Refuse("step is negative", kNow);
  const auto batch = relay.Batch();
  EXPECT_THAT(Sequences(batch), ElementsAre(1));
  EXPECT_EQ(FinishedOf(batch).outcome, spec::Outcome::kFailed);
  EXPECT_THAT(FinishedOf(batch).message, HasSubstr("step is negative"));
}

TEST(EventRelay, AMissingCheckpointIsUploadedAgainAndThenTheAttemptFails) {
  EventRelay relay;
  relay.TakeLine(Line(Checkpoint(1)), kNow);
  relay.TakeLine(Line(Succeeded(Checkpoint(1).digest)), kNow);
  relay.EndTrainer({}, kNow);
  relay.UploadEnded(Checkpoint(1), absl::OkStatus(), kNow);
  relay.Acknowledge(1);
  for (int i = 0; i < 3; ++i) {
    relay.CheckpointMissing(kNow);
    EXPECT_THAT(relay.Batch(), IsEmpty());
    ASSERT_TRUE(relay.NextUpload());
    relay.UploadEnded(relay.NextUpload()->checkpoint, absl::OkStatus(), kNow);
    EXPECT_THAT(Sequences(relay.Batch()), ElementsAre(2));
  }
  relay.CheckpointMissing(kNow);
  EXPECT_FALSE(relay.NextUpload());
  ASSERT_THAT(Sequences(relay.Batch()), ElementsAre(2));
  EXPECT_EQ(FinishedOf(relay.Batch()).outcome, spec::Outcome::kFailed);
}

TEST(EventRelay, GoesOnFromWhereACoordinatorThatLostEventsStands) {
  EventRelay relay;
  for (int i = 0; i < 5; ++i) relay.TakeLine(LogText("x"), kNow);
  relay.Acknowledge(3);
  relay.ContinueAfter(1);
  EXPECT_THAT(Sequences(relay.Batch()), ElementsAre(2, 3));
  relay.TakeLine(LogText("y"), kNow);
  EXPECT_THAT(Sequences(relay.Batch()), ElementsAre(2, 3, 4));
}

TEST(EventRelay, AnAttemptWithoutATrainerEndsWithWhatItIsTold) {
  EventRelay relay;
  relay.AddLog(spec::Severity::kWarning, "passed over", kNow);
  spec::Finished finished;
  finished.message = "disk full";
  relay.EndWithout(finished, kNow);
  relay.EndTrainer({.exit_code = 1}, kNow);
  const auto batch = relay.Batch();
  ASSERT_EQ(batch.size(), 2);
  EXPECT_EQ(FinishedOf(batch).message, "disk full");
}

}  // namespace
}  // namespace bsnn::agent
