#include "worker/trainer/train/event_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/fake_clock.h"
#include "tests/worker/support/temp_folder.h"

namespace bsnn::trainer {
namespace {

using testing::HasSubstr;

std::vector<spec::Event> EventsIn(const std::filesystem::path& path) {
  std::vector<spec::Event> events;
  std::istringstream text(test::Read(path));
  for (std::string line; std::getline(text, line);) {
    const auto event = spec::ParseEventLine(line);
    EXPECT_TRUE(event.ok()) << line;
    if (event.ok()) events.push_back(*event);
  }
  return events;
}

class EventWriterTest : public testing::Test {
 protected:
  EventWriter Open(bool continued) {
    auto writer = EventWriter::Open(file_, continued, clock_);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }

  const test::TempFolder folder_;
  const std::filesystem::path file_ = folder_ / "events.jsonl";
  const test::FakeClock clock_;
};

TEST_F(EventWriterTest, NumbersEventsAndWritesThemThrough) {
  EventWriter writer = Open(/*continued=*/false);
  writer.Write(spec::Progress{.step = 5});
  EXPECT_EQ(EventsIn(file_).size(), 1u);  // before the file is closed
  writer.Log(spec::Severity::kWarning, "loss is NaN");
  const auto events = EventsIn(file_);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].sequence, 1);
  EXPECT_EQ(events[1].sequence, 2);
  EXPECT_EQ(events[0].time, clock_.Now());
  EXPECT_EQ(std::get<spec::LogLine>(events[1].kind).message, "loss is NaN");
  EXPECT_TRUE(writer.status().ok());
}

TEST_F(EventWriterTest, AContinuedFileLosesItsTornLineAlone) {
  Open(false).Write(spec::Progress{.step = 1});
  test::Append(file_, R"({"sequence":2,"type":"progr)");
  Open(true).Write(spec::Progress{.step = 9});
  const auto events = EventsIn(file_);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].sequence, 2);
  EXPECT_EQ(std::get<spec::Progress>(events[1].kind).step, 9);
}

TEST_F(EventWriterTest, ARunFromTheStartBeginsTheFileAnew) {
  Open(false).Write(spec::Progress{.step = 1});
  Open(false).Write(spec::Progress{.step = 2});
  const auto events = EventsIn(file_);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].sequence, 1);
}

TEST_F(EventWriterTest, NamesTheFileThatItCannotWrite) {
  const auto writer = EventWriter::Open(folder_ / "none" / "events.jsonl", false, clock_);
  ASSERT_FALSE(writer.ok());
  EXPECT_THAT(std::string(writer.status().message()), HasSubstr("none/events.jsonl"));
}

}  // namespace
}  // namespace bsnn::trainer
