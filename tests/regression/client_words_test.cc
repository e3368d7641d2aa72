// bsnnctl's words: what it takes for arguments, and what reaches the terminal.
#include "tests/client/commands_fixture.h"

namespace bsnn::client {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(CommandsTest, SetTakesEveryWordThatFollows) {
  const Output output = Run({"submit", "--id", "a", "--set", "training.epochs=7", "training.seed=9",
                             "--label", "team=vision", "tier=gold"});
  EXPECT_EQ(output.code, kOk) << output.err;
  const v1::Job job = Get("a");
  EXPECT_EQ(job.spec().training().epochs(), 7);
  EXPECT_EQ(job.spec().training().seed(), 9);
  EXPECT_EQ(job.labels().at("tier"), "gold");
}

TEST(Printable, LeavesNoCharacterThatATerminalObeys) {
  EXPECT_EQ(Printable("\x1b[2Jcafé\r\n\t\x07"), "\\x1b[2Jcafé\\x0d\\n\\t\\x07");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m\x7F"),
            "\\x9b31m\\x7f");                        // CSI in one character; DEL
  EXPECT_EQ(Printable("a\xFF\xC3"), "a\\xff\\xc3");  // not UTF-8
  EXPECT_EQ(Printable("\xE2\x80\xAE"
                      "txt"),
            "\\u202etxt");  // right to left
  EXPECT_EQ(PrintableText("one\n\ttwo\x1b"), "one\n\ttwo\\x1b");
}

TEST_F(CommandsTest, LogsAndNamesReachTheTerminalWithoutEscapeSequences) {
  StartAttempt("a");
  Say("a", {spec::LogLine{.message = "\x1b]0;title\x07\x1b[2Jgone"}});
  const Output logs = Run({"logs", "a"});
  EXPECT_THAT(logs.out, HasSubstr("\\x1b]0;title\\x07\\x1b[2Jgone"));
  EXPECT_THAT(logs.out, Not(HasSubstr("\x1b")));
  EXPECT_EQ(PrintTable({"NAME"}, {{"\x1b[31m"}}), "NAME\n\\x1b[31m\n");
  const Output error = Catch(
      [] { return client::Fail(Context{}, "cannot x", absl::NotFoundError("no \x1b[31mjob")); });
  EXPECT_THAT(error.err, Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, WhyAWorkerIsSuspectReachesTheTerminalWithoutEscapeSequences) {
  StartAttempt("a");
  Say("a", {spec::Finished{.outcome = spec::Outcome::kFailed,
                           .failure = spec::TrainerFailure::kDataUnavailable,
                           .message = "no \x1b[2Jdata"}});
  const Output workers = Run({"workers", "list"});
  EXPECT_THAT(workers.out, HasSubstr("no \\x1b[2Jdata"));
  EXPECT_THAT(workers.out, Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, AListShowsAllActiveJobsAndTheNewestThatHaveEnded) {
  Create("oldest");
  for (int i = 0; i < 60; ++i) {
    const std::string id = "ended-" + std::to_string(i);
    Create(id);
    EXPECT_EQ(Run({"cancel", id}).code, kOk);
  }
  const Output output = Run({"list"});
  EXPECT_EQ(output.code, kOk) << output.err;
  EXPECT_EQ(std::count(output.out.begin(), output.out.end(), '\n'), 1 + 1 + 50);
  EXPECT_THAT(output.out, HasSubstr("\noldest "));
  EXPECT_THAT(output.out, HasSubstr("ended-59"));
  EXPECT_THAT(output.out, Not(HasSubstr("ended-9 ")));
  EXPECT_THAT(output.err, HasSubstr("--limit 0"));
  context_.format = Format::kName;
  const Output all = Run({"list", "--limit", "0"});
  EXPECT_EQ(std::count(all.out.begin(), all.out.end(), '\n'), 61);
}

TEST(TableWriter, PrintsBlocksOfALongTable) {
  TableWriter table({"A"});
  std::string text;
  size_t blocks = 0;
  for (int i = 0; i < 2500; ++i) {
    const std::string block = table.Add({std::to_string(i)});
    if (!block.empty()) ++blocks;
    text += block;
  }
  text += table.End();
  EXPECT_EQ(blocks, 2u);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2501);
  EXPECT_THAT(text, testing::StartsWith("A\n0\n1\n"));
}

TEST_F(CommandsTest, TheCoordinatorsVersionIsShown) {
  const Output output = Run({"version"});
  EXPECT_EQ(output.code, kOk);
  EXPECT_THAT(output.out, HasSubstr("coordinator 0.0.0-test"));
}

}  // namespace
}  // namespace bsnn::client
