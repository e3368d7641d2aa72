#include "worker/launcher/event_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/support/temp_folder.h"

namespace bsnn::launcher {
namespace {

using test::Append;
using testing::ElementsAre;
using testing::IsEmpty;

TailItem Whole(const std::string& line) { return {line, ""}; }

TEST(EventTail, AFileThatIsNotThereYetHasNoLines) {
  test::TempFolder folder;
  EventTail tail(folder / "events", 100);
  EXPECT_THAT(*tail.Read(10), IsEmpty());
  Append(folder / "events", "one\n");
  EXPECT_THAT(*tail.Read(10), ElementsAre(Whole("one")));
}

TEST(EventTail, APartialLastLineWaitsForItsEnd) {
  test::TempFolder folder;
  EventTail tail(folder / "events", 100);
  Append(folder / "events", "one\ntw");
  EXPECT_THAT(*tail.Read(10), ElementsAre(Whole("one")));
  EXPECT_THAT(*tail.Read(10), IsEmpty());
  EXPECT_EQ(tail.TornEnd(), "the last line has no end (2 bytes)");
  Append(folder / "events", "o\n");
  EXPECT_THAT(*tail.Read(10), ElementsAre(Whole("two")));
  EXPECT_EQ(tail.TornEnd(), "");
}

TEST(EventTail, GivesNoMoreThanAskedForAndTheRestLater) {
  test::TempFolder folder;
  EventTail tail(folder / "events", 100);
  Append(folder / "events", "1\n2\n3\n");
  EXPECT_THAT(*tail.Read(2), ElementsAre(Whole("1"), Whole("2")));
  EXPECT_THAT(*tail.Read(2), ElementsAre(Whole("3")));
}

TEST(EventTail, ALineBeyondTheLimitIsOneFaultHoweverItArrives) {
  for (const size_t size : {size_t{101}, size_t{300'000}}) {
    test::TempFolder folder;
    EventTail tail(folder / "events", 100);
    Append(folder / "events", "a\n" + std::string(size, 'x'));
    std::vector<TailItem> items = *tail.Read(10);
    Append(folder / "events", std::string(size, 'y') + "\nb\n");
    const std::vector<TailItem> more = *tail.Read(10);
    items.insert(items.end(), more.begin(), more.end());
    EXPECT_THAT(items, ElementsAre(Whole("a"), TailItem{"", "longer than 100 bytes"}, Whole("b")));
  }
}

TEST(EventTail, LinesAreWholeWhateverTheBlocks) {
  test::TempFolder folder;
  EventTail tail(folder / "events", 64 << 10);
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::string(50, 'l') + std::to_string(i) + "\n";
  Append(folder / "events", text);
  const auto items = tail.Read(100'000);
  ASSERT_EQ(items->size(), 5000);
  EXPECT_EQ(items->at(4999).line, std::string(50, 'l') + "4999");
}

TEST(EventTail, AFileThatHasBecomeShorterIsReadFromItsStart) {
  test::TempFolder folder;
  EventTail tail(folder / "events", 100);
  Append(folder / "events", "one\ntwo\n");
  EXPECT_EQ(tail.Read(10)->size(), 2);
  std::filesystem::resize_file(folder / "events", 0);
  Append(folder / "events", "new\n");
  EXPECT_THAT(*tail.Read(10), ElementsAre(Whole("new")));
}

TEST(EventTail, EmptyLinesAreNone) {
  test::TempFolder folder;
  EventTail tail(folder / "events", 100);
  Append(folder / "events", "\n\na\n");
  EXPECT_THAT(*tail.Read(10), ElementsAre(Whole("a")));
}

}  // namespace
}  // namespace bsnn::launcher
