// bsnnctl's commands in this process: what they print, and their exit codes.
#include <nlohmann/json.hpp>

#include "tests/client/commands_fixture.h"

namespace bsnn::client {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(ExitCode, SaysWhatKindOfErrorItIs) {
  const std::map<absl::StatusCode, int> expected = {{absl::StatusCode::kInvalidArgument, 2},
                                                    {absl::StatusCode::kNotFound, 3},
                                                    {absl::StatusCode::kUnavailable, 4},
                                                    {absl::StatusCode::kDeadlineExceeded, 4},
                                                    {absl::StatusCode::kFailedPrecondition, 5},
                                                    {absl::StatusCode::kAlreadyExists, 5},
                                                    {absl::StatusCode::kAborted, 5},
                                                    {absl::StatusCode::kResourceExhausted, 5},
                                                    {absl::StatusCode::kCancelled, 6},
                                                    {absl::StatusCode::kDataLoss, 1},
                                                    {absl::StatusCode::kInternal, 1},
                                                    {absl::StatusCode::kUnknown, 1}};
  for (const auto& [code, exit_code] : expected) {
    const Output output = Catch([&] { return Fail({}, "cannot x", absl::Status(code, "why")); });
    EXPECT_EQ(output.code, exit_code) << code;
    EXPECT_THAT(output.err, StartsWith("bsnnctl: cannot x: why\n"));
    EXPECT_THAT(output.out, IsEmpty());
  }
}

TEST(ExitCode, EveryWrongFieldHasALine) {
  const Output output = Catch([] {
    return Fail({}, "cannot x",
                base::InvalidFields({{"a.b", "7", "1 to 5"}, {"c", "-", "a name"}}));
  });
  EXPECT_EQ(output.code, kUsage);
  EXPECT_EQ(output.err,
            "bsnnctl: cannot x: 2 wrong fields\n  a.b is 7; allowed: 1 to 5\n"
            "  c is -; allowed: a name\n");
}

TEST(JobNameOf, TakesAnIdOrAName) {
  EXPECT_EQ(JobNameOf("x"), "jobs/x");
  EXPECT_EQ(JobNameOf("jobs/x"), "jobs/x");
}

TEST_F(CommandsTest, SubmitCreatesWhatItWasTold) {
  const Output output = Run({"submit", "--id", "a", "--epochs", "7", "--set", "network.kind=bsnn",
                             "--label", "team=vision", "--name", "First"});
  EXPECT_EQ(output.code, kOk) << output.err;
  EXPECT_THAT(output.out, StartsWith("created jobs/a"));
  const v1::Job job = Get("a");
  EXPECT_EQ(job.spec().training().epochs(), 7);
  EXPECT_EQ(job.spec().network().kind(), "bsnn");
  EXPECT_EQ(job.labels().at("team"), "vision");
  EXPECT_EQ(job.display_name(), "First");
}

TEST_F(CommandsTest, FlagsOverrideTheFile) {
  test::Append(folder_ / "job.json", R"({"training": {"epochs": 9, "seed": 5}})");
  ASSERT_EQ(Run({"submit", (folder_ / "job.json").string(), "--id", "a", "--epochs", "7"}).code,
            kOk);
  EXPECT_EQ(Get("a").spec().training().epochs(), 7);
  EXPECT_EQ(Get("a").spec().training().seed(), 5);
}

TEST_F(CommandsTest, AWrongSpecificationIsRefusedFieldByField) {
  const Output output = Run({"submit", "--id", "a", "--epochs", "0", "--set", "nosuch.field=1"});
  EXPECT_EQ(output.code, kUsage);
  EXPECT_THAT(output.err, HasSubstr("training.epochs is 0"));
  EXPECT_THAT(output.err, HasSubstr("nosuch"));
  EXPECT_EQ(Run({"submit", (folder_ / "nosuch.json").string()}).code, kUsage);
  test::Append(folder_ / "broken.json", "{");
  EXPECT_EQ(Run({"submit", (folder_ / "broken.json").string()}).code, kUsage);
}

TEST_F(CommandsTest, ValidateOnlyCreatesNothing) {
  EXPECT_EQ(Run({"submit", "--id", "a", "--validate-only"}).code, kOk);
  EXPECT_EQ(Run({"show", "a"}).code, kNotFound);
}

TEST_F(CommandsTest, AnIdThatIsTakenIsRefused) {
  Create("a");
  EXPECT_EQ(Run({"submit", "--id", "a"}).code, kRefused);
}

TEST_F(CommandsTest, AListIsATableOrNamesOrAMessage) {
  Create("a");
  Create("b");
  clock_.Advance(absl::Seconds(90));
  EXPECT_EQ(Run({"list"}).out,
            "JOB  NAME  STATE           PROGRESS  ACCURACY  RESTARTS         AGE\n"
            "b          queued  queue position 2         -         0  1 min 30 s\n"
            "a          queued  queue position 1         -         0  1 min 30 s\n");
  context_.format = Format::kName;
  EXPECT_EQ(Run({"list", "--limit", "1"}).out, "jobs/b\n");
  EXPECT_EQ(Run({"list", "--state", "cancelled"}).out, "");
  context_.format = Format::kJson;
  EXPECT_EQ(nlohmann::json::parse(Run({"list"}).out)["jobs"][1]["name"], "jobs/a");
  EXPECT_EQ(Run({"list", "--state", "nosuch"}).code, kUsage);
}

TEST_F(CommandsTest, WhatIsNotThereOrNotAllowedHasItsCode) {
  Create("a");
  EXPECT_EQ(Run({"show", "nosuch"}).code, kNotFound);
  EXPECT_EQ(Run({"show", "No Name"}).code, kUsage);
  EXPECT_EQ(Run({"delete", "a"}).code, kRefused);
  EXPECT_EQ(Run({"cancel", "a"}).code, kOk);
  EXPECT_EQ(Run({"delete", "a"}).code, kOk);
  EXPECT_EQ(Run({"logs", "a"}).code, kNotFound);
}

TEST_F(CommandsTest, AnAbsentCoordinatorIsNamed) {
  context_.coordinator = "unix:" + (folder_ / "nobody").string();
  context_.timeout_seconds = 0.1;
  const Output output = Run({"list"});
  EXPECT_EQ(output.code, kUnreachable);
  EXPECT_THAT(output.err, HasSubstr(context_.coordinator));
}

TEST_F(CommandsTest, AWatchEndsAsTheJobDid) {
  StartAttempt("a");
  Say("a", {spec::Started{.device = "cpu", .steps_total = 100},
            spec::Progress{.step = 50, .steps_total = 100, .epoch = 1, .epochs_total = 2}});
  Fail("a");
  const Output failed = Run({"watch", "a"});
  EXPECT_EQ(failed.code, kFailed);
  EXPECT_THAT(failed.out, HasSubstr("step 50/100"));
  EXPECT_THAT(failed.err, HasSubstr("no such data"));
}

TEST_F(CommandsTest, AWatchOfACancelledJobHasACodeOfItsOwn) {
  Create("a");
  ASSERT_EQ(Run({"cancel", "a", "--wait"}).code, kOk);
  const Output output = Run({"watch", "a"});
  EXPECT_EQ(output.code, kCancelled);
  EXPECT_THAT(output.err, HasSubstr("was cancelled"));
}

TEST_F(CommandsTest, AWatchOfASuccessShowsItsCurvesOnATerminal) {
  StartAttempt("a");
  const auto record = Publish("a", 100, {{"model", "abc"}});
  Say("a", {spec::Started{.device = "cpu", .steps_total = 100},
            spec::MetricPoint{"accuracy_ratio", "", "test", -1, 50, 1, 0.5},
            spec::MetricPoint{"accuracy_ratio", "", "test", -1, 100, 2, 0.75},
            spec::Progress{.step = 100, .steps_total = 100, .epoch = 2, .epochs_total = 2},
            spec::Finished{.outcome = spec::Outcome::kSucceeded,
                           .step = 100,
                           .accuracy_ratio = 0.75,
                           .checkpoint_digest = record.digest}});
  context_.terminal = true;
  const Output output = Run({"watch", "a"});
  EXPECT_EQ(output.code, kOk) << output.err;
  EXPECT_THAT(output.out, HasSubstr("test accuracy  ▁█  75.00 %"));
  EXPECT_THAT(output.out, HasSubstr("████████████████████████████████████████ 100.0 %"));
  EXPECT_THAT(output.out, HasSubstr("succeeded: test accuracy 75.00 % after 100 steps\n"
                                    "checkpoint jobs/a/checkpoints/a1-step-00000100\n"));
}

TEST_F(CommandsTest, CtrlCEndsAWatchAndLeavesTheJob) {
  Create("a");
  stop_.request_stop();
  EXPECT_EQ(Run({"watch", "a"}).code, kInterrupted);
  EXPECT_EQ(Get("a").state(), v1::Job::QUEUED);
}

TEST_F(CommandsTest, MetricsAreCsvLinesOrATable) {
  StartAttempt("a");
  Say("a", {Point("loss", 5, 0.1), spec::MetricPoint{"rate", "conv2", "train", 1, 6, 1, 2}});
  EXPECT_EQ(
      Run({"metrics", "a", "--csv"}).out,
      "step,epoch,metric,layer,split,t,value\n5,1,loss,all,-,-,0.1\n6,1,rate,conv2,train,1,2\n");
  EXPECT_EQ(Run({"metrics", "a", "--layer", "conv2"}).out,
            "STEP  EPOCH  METRIC  LAYER  SPLIT  T  VALUE\n"
            "   6      1  rate    conv2  train  1      2\n");
}

TEST_F(CommandsTest, LogsAreLinesOrADocumentEach) {
  StartAttempt("a");
  Say("a", {spec::LogLine{.severity = spec::Severity::kWarning, .message = "hot"},
            spec::LogLine{.message = "cool"}});
  EXPECT_EQ(Run({"logs", "a", "--tail", "1"}).out, "2023-11-14T22:13:20.000Z info    cool\n");
  context_.format = Format::kYaml;
  const std::string text = Run({"logs", "a"}).out;
  EXPECT_THAT(text, StartsWith("---\n"));
  EXPECT_THAT(text, HasSubstr("message: \"hot\""));
}

TEST_F(CommandsTest, ACheckpointIsListedDownloadedVerifiedPinnedAndDeleted) {
  StartAttempt("a");
  const auto record = Publish("a", 7, {{"model", "abc"}});
  const std::string name = "jobs/a/checkpoints/a1-step-00000007";
  const std::string folder = (folder_ / "here").string();
  context_.format = Format::kName;
  EXPECT_EQ(Run({"checkpoints", "list", "a"}).out, name + "\n");
  context_.format = Format::kTable;
  EXPECT_EQ(Run({"checkpoints", "download", name, folder}).code, kOk);
  EXPECT_EQ(Run({"checkpoints", "download", name, folder}).code, kRefused);
  EXPECT_THAT(Run({"checkpoints", "verify", folder}).out, HasSubstr("digest " + record.digest));
  test::Append(folder_ / "here/model", "x");
  EXPECT_EQ(Run({"checkpoints", "verify", folder}).code, kFailed);
  EXPECT_EQ(Run({"checkpoints", "verify", folder + "-none"}).code, kNotFound);
  EXPECT_EQ(Run({"checkpoints", "pin", name}).code, kOk);
  EXPECT_EQ(Run({"checkpoints", "delete", name}).code, kRefused);
  EXPECT_EQ(Run({"checkpoints", "unpin", name}).code, kOk);
  EXPECT_EQ(Run({"checkpoints", "delete", name}).code, kOk);
  EXPECT_EQ(Run({"checkpoints", "delete", name}).code, kNotFound);
}

TEST_F(CommandsTest, AnInterruptedDownloadSaysThatItGoesOn) {
  StartAttempt("a");
  Publish("a", 7, {{"model", "abc"}});
  stop_.request_stop();
  const Output output = Run({"checkpoints", "download", "jobs/a/checkpoints/a1-step-00000007",
                             (folder_ / "here").string()});
  EXPECT_EQ(output.code, kInterrupted);
  EXPECT_THAT(output.err, HasSubstr("here.part"));
}

TEST_F(CommandsTest, WorkersShowWhatTheyRun) {
  StartAttempt("a");
  const Output output = Run({"workers", "list"});
  EXPECT_EQ(output.code, kOk);
  EXPECT_THAT(output.out, HasSubstr("\nw       online    1/1  cpu     host  0.1.0     0 s  a\n"));
}

TEST_F(CommandsTest, CompletionKnowsEveryCommand) {
  const Output output = Run({"completion", "bash"});
  EXPECT_EQ(output.code, kOk);
  EXPECT_THAT(output.out, HasSubstr("words='submit list show watch logs metrics cancel delete "
                                    "checkpoints workers version completion"));
  EXPECT_EQ(Run({"completion", "fish"}).code, kUsage);
}

}  // namespace
}  // namespace bsnn::client
