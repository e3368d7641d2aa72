#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/trainer/data/event_bytes.h"
#include "worker/trainer/data/events/frames.h"
#include "worker/trainer/data/events/gesture_labels.h"
#include "worker/trainer/data/events/recording.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Parser = absl::Status (*)(std::string_view, EventVisitor);

std::vector<SensorEvent> EventsOf(Parser parse, std::string_view content) {
  std::vector<SensorEvent> events;
  const absl::Status status = parse(content, [&](const SensorEvent& e) { events.push_back(e); });
  EXPECT_TRUE(status.ok()) << status;
  return events;
}

std::string FaultOf(Parser parse, std::string_view content) {
  const absl::Status status = parse(content, [](const SensorEvent&) {});
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  return std::string(status.message());
}

TEST(Atis, ReadsEventsAndAddsOverflowsToWhatFollows) {
  const std::string content = AtisEvent(33, 2, 1, 0x7FFFFF) + AtisEvent(0, 240, 0, 0) +
                              AtisEvent(0, 33, 0, 5) + AtisEvent(0, 240, 1, 9) +
                              AtisEvent(1, 1, 1, 6);
  EXPECT_THAT(EventsOf(ParseAtis, content),
              ElementsAre(SensorEvent{0x7FFFFF, 33, 2, 1}, SensorEvent{8192 + 5, 0, 33, 0},
                          SensorEvent{2 * 8192 + 6, 1, 1, 1}));
}

TEST(Atis, NamesTheOffsetOfWhatIsWrong) {
  const std::string good = AtisEvent(1, 2, 0, 3);
  EXPECT_THAT(FaultOf(ParseAtis, good + "ab"), HasSubstr("offset 5: 2 bytes are left"));
  EXPECT_THAT(FaultOf(ParseAtis, good + AtisEvent(34, 2, 0, 4)),
              HasSubstr("offset 5: pixel is (34, 2) (allowed: 0 to 33)"));
  EXPECT_THAT(FaultOf(ParseAtis, AtisEvent(1, 239, 0, 4)), HasSubstr("pixel is (1, 239)"));
  EXPECT_THAT(FaultOf(ParseAtis, ""), HasSubstr("offset 0: the recording ends without an event"));
  EXPECT_THAT(FaultOf(ParseAtis, AtisEvent(0, 240, 0, 0)), HasSubstr("without an event"));
}

constexpr const char* kHeader2 = "#!AER-DAT2.0\r\n# Created by jAER \t\r\n";

std::string Aedat2Event(uint32_t x, uint32_t y, uint32_t polarity, uint32_t time) {
  return Big(y << 8 | x << 1 | polarity) + Big(time);
}

TEST(Aedat2, ReadsEventsAsSpikingJellyTurnsThem) {
  const std::string events = Aedat2Event(10, 100, 1, 0xFFFFFFFF) + Aedat2Event(127, 0, 0, 1);
  const auto expected = ElementsAre(SensorEvent{0xFFFFFFFF, 27, 117, 0}, SensorEvent{1, 127, 0, 1});
  EXPECT_THAT(EventsOf(ParseAedat2, kHeader2 + events), expected);
  EXPECT_THAT(EventsOf(ParseAedat2, "# no version\n" + events), expected);
  EXPECT_THAT(EventsOf(ParseAedat2, events), expected) << "no header";
  EXPECT_THAT(EventsOf(ParseAedat2, kHeader2 + Big(0x8001) + Big(7) + events), expected)
      << "the camera's own marks are no events";
}

TEST(Aedat2, EndsItsHeaderWhereTheDataLooksLikeText) {
  // Times and addresses may hold 0x23 '#' and 0x0A: only the first byte of a line counts.
  const std::string events = Aedat2Event(5, 0x23, 0, 0x2323230A) + Aedat2Event(5, 0x0D, 1, 0x0A);
  EXPECT_EQ(EventsOf(ParseAedat2, kHeader2 + events).size(), 2u);
  // A data byte '#' there is no address of this camera, and not skipped up to the next 0x0A.
  const std::string hostile = Big(0x23000000) + Big(0x0A0A0A0A);
  EXPECT_THAT(FaultOf(ParseAedat2, kHeader2 + hostile),
              HasSubstr("offset 35: address is 0x23000000 (allowed: at most 0x0000ffff)"));
}

TEST(Aedat2, NamesTheOffsetOfWhatIsWrong) {
  const std::string good = kHeader2 + Aedat2Event(1, 2, 0, 3);
  EXPECT_THAT(FaultOf(ParseAedat2, good + "abc"), HasSubstr("offset 43: 3 bytes are left"));
  EXPECT_THAT(FaultOf(ParseAedat2, "#!AER-DAT3.1\r\n"), HasSubstr("version is '#!AER-DAT3.1'"));
  EXPECT_THAT(FaultOf(ParseAedat2, kHeader2), HasSubstr("offset 35: the recording ends"));
  EXPECT_THAT(FaultOf(ParseAedat2, ""), HasSubstr("offset 0: the recording ends"));
}

constexpr const char* kHeader3 = "#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n";  // 42 bytes

struct PacketFields {
  uint32_t type = 1, size = 8, overflow = 0, capacity = 0, number = 0;
};

std::string PacketOf(const PacketFields& f, const std::string& payload) {
  return Little(f.type | 1 << 16) + Little(f.size) + Little(4) + Little(f.overflow) +
         Little(f.capacity) + Little(f.number) + Little(f.number) + payload;
}

std::string Aedat3Event(uint32_t x, uint32_t y, uint32_t polarity, uint32_t time,
                        uint32_t valid = 1) {
  return Little(x << 17 | y << 2 | polarity << 1 | valid) + Little(time);
}

TEST(Aedat3, ReadsValidEventsOfPolarityPackets) {
  const std::string content =
      kHeader3 + PacketOf({.type = 0, .capacity = 1, .number = 1}, std::string(8, '\xff')) +
      PacketOf({.overflow = 2, .capacity = 3, .number = 2},
               Aedat3Event(3, 127, 1, 9) + Aedat3Event(4, 4, 1, 9, 0) + std::string(8, '\xff')) +
      PacketOf({.type = 6, .size = 3, .capacity = 2}, "abcdef") + PacketOf({}, "") +
      PacketOf({.capacity = 1, .number = 1}, Aedat3Event(127, 0, 0, 0x7FFFFFFF));
  EXPECT_THAT(EventsOf(ParseAedat3, content),
              ElementsAre(SensorEvent{(int64_t{2} << 31) + 9, 3, 127, 1},
                          SensorEvent{0x7FFFFFFF, 127, 0, 0}));
}

TEST(Aedat3, NamesTheOffsetOfWhatIsWrong) {
  const auto fault = [](const PacketFields& fields, const std::string& payload) {
    return FaultOf(ParseAedat3, kHeader3 + PacketOf(fields, payload));
  };
  const std::string event = Aedat3Event(1, 1, 0, 0);
  EXPECT_THAT(FaultOf(ParseAedat3, ""), HasSubstr("offset 0: the first line is not"));
  EXPECT_THAT(FaultOf(ParseAedat3, "#!AER-DAT2.0\r\n"), HasSubstr("offset 0"));
  EXPECT_THAT(FaultOf(ParseAedat3, "#!AER-DAT3.1\r\n#a\r\nb"), HasSubstr("offset 18: no line"));
  EXPECT_THAT(FaultOf(ParseAedat3, "#!AER-DAT3.1\r\n"), HasSubstr("offset 14: no line"));
  EXPECT_THAT(FaultOf(ParseAedat3, kHeader3), HasSubstr("offset 42: the recording ends"));
  EXPECT_THAT(FaultOf(ParseAedat3, kHeader3 + std::string("abc")),
              HasSubstr("offset 42: 3 bytes are left (allowed: a packet's header of 28)"));
  EXPECT_THAT(fault({.size = 7, .capacity = 1}, event), HasSubstr("offset 46: event size is 7"));
  EXPECT_THAT(fault({.type = 0, .size = 0}, ""), HasSubstr("offset 46: event size is 0"));
  EXPECT_THAT(fault({.overflow = 1u << 31}, ""), HasSubstr("offset 54: time overflow is -2147483"));
  EXPECT_THAT(fault({.capacity = 2}, event), HasSubstr("offset 58: capacity is 2 events of 8"));
  EXPECT_THAT(fault({.capacity = 0xFFFFFFFF}, event), HasSubstr("offset 58: capacity is -1"));
  EXPECT_THAT(fault({.type = 2, .size = 0x7FFFFFFF, .capacity = 0x7FFFFFFF}, event),
              HasSubstr("offset 58: capacity is 2147483647 events of 2147483647 bytes"));
  EXPECT_THAT(fault({.capacity = 1, .number = 2}, event), HasSubstr("offset 62: number of events"));
  EXPECT_THAT(fault({.capacity = 1, .number = 1}, Aedat3Event(128, 1, 0, 0)),
              HasSubstr("offset 70: pixel is (128, 1) (allowed: 0 to 127)"));
  EXPECT_THAT(fault({.capacity = 1, .number = 1}, Aedat3Event(1, 1, 0, 1u << 31)),
              HasSubstr("offset 74: time is -2147483648"));
}

constexpr const char* kLabelLine = "class,startTime_usec,endTime_usec\n";  // 34 bytes

TEST(GestureLabels, ReadsPieces) {
  const auto pieces = ParseGestureLabels(
      "class,startTime_usec,endTime_usec\r\n1,80048239,85092709\r\n11,0,9007199254740992\r\n");
  ASSERT_TRUE(pieces.ok()) << pieces.status();
  EXPECT_THAT(*pieces, ElementsAre(GesturePiece{0, 80048239, 85092709},
                                   GesturePiece{10, 0, int64_t{1} << 53}));
}

TEST(GestureLabels, NamesTheOffsetOfWhatIsWrong) {
  const auto fault = [](const std::string& content) {
    const auto pieces = ParseGestureLabels(content);
    EXPECT_TRUE(absl::IsDataLoss(pieces.status()));
    return std::string(pieces.status().message());
  };
  EXPECT_THAT(fault(""), HasSubstr("offset 0: the first line is ''"));
  EXPECT_THAT(fault(kLabelLine), HasSubstr("offset 34: no row"));
  EXPECT_THAT(fault(kLabelLine + std::string("12,1,2\n")), HasSubstr("offset 34: class is '12'"));
  EXPECT_THAT(fault(kLabelLine + std::string("1,-1,2\n")), HasSubstr("offset 36: start is '-1'"));
  EXPECT_THAT(fault(kLabelLine + std::string("1,2,2\n")), HasSubstr("offset 38: end is 2"));
  EXPECT_THAT(fault(kLabelLine + std::string("1,2\n")), HasSubstr("does not hold three numbers"));
  EXPECT_THAT(fault(kLabelLine + std::string("1,2,3,4\n")), HasSubstr("does not hold three"));
  EXPECT_THAT(fault(kLabelLine + std::string("1,2, 3\n")), HasSubstr("offset 38: end is ' 3'"));
  EXPECT_THAT(fault(kLabelLine + std::string("1,1,99999999999999999999\n")), HasSubstr("end is"));
}

/// Events of pixel (0, 0) at the times given; the count of each frame.
std::vector<uint32_t> CountsOf(const FrameCut& cut, const std::vector<int64_t>& times) {
  EventSurvey survey;
  for (const int64_t time : times) survey.Add({.time = time});
  FrameBuilder builder(cut, survey, 1);
  for (const int64_t time : times) builder.Add({.time = time});
  std::vector<uint32_t> counts;
  for (size_t i = 0; i < builder.counts().size(); i += 2) counts.push_back(builder.counts()[i]);
  EXPECT_EQ(std::ssize(counts), builder.frames());
  return counts;
}

TEST(Frames, ByNumberTheLastTakesTheRest) {
  const FrameCut cut{spec::FramesBy::kNumber, 3};
  EXPECT_THAT(CountsOf(cut, {1, 2, 3, 4, 5, 6, 7, 8}), ElementsAre(2, 2, 4));
  EXPECT_THAT(CountsOf(cut, {1, 2}), ElementsAre(0, 0, 2)) << "floor(2 / 3) is 0";
  EXPECT_THAT(CountsOf(cut, {}), ElementsAre(0, 0, 0));
}

TEST(Frames, ByTimeTheLastTakesTheRestAndEmptySlicesAreZeros) {
  const FrameCut cut{spec::FramesBy::kTime, 3};
  // floor((110 - 100) / 3) = 3: [100, 103), [103, 106), [106, ...].
  EXPECT_THAT(CountsOf(cut, {100, 102, 103, 105, 106, 109, 110}), ElementsAre(2, 2, 3));
  EXPECT_THAT(CountsOf(cut, {100, 110}), ElementsAre(1, 0, 1));
  EXPECT_THAT(CountsOf(cut, {100, 101}), ElementsAre(0, 0, 2)) << "slices of 0 µs";
  EXPECT_THAT(CountsOf(cut, {105, 100, 110}), ElementsAre(1, 1, 1)) << "times that run backward";
}

TEST(Frames, ByDurationTheLastBucketTakesTheRest) {
  const auto counts = [](int64_t kept, const std::vector<int64_t>& times) {
    return CountsOf({spec::FramesBy::kDuration, kept, 10}, times);
  };
  EXPECT_THAT(counts(9, {100, 109, 110, 125}), ElementsAre(2, 1, 1));  // ceil(25 / 10) = 3
  // ceil(20 / 10) = 2, and the event at 120, which is in floor(20 / 10) = 2, falls to the last.
  EXPECT_THAT(counts(9, {100, 110, 120}), ElementsAre(1, 2));
  EXPECT_THAT(counts(2, {100, 109, 110, 125}), ElementsAre(2, 1)) << "only the first are kept";
  EXPECT_THAT(counts(9, {100, 100}), ElementsAre(2)) << "at least one frame";
  EXPECT_THAT(counts(3, {0, int64_t{1} << 61}), ElementsAre(1, 0, 0)) << "no memory for the rest";
}

TEST(Frames, CountEachPixelAndPolarityApart) {
  const std::vector<SensorEvent> events = {{0, 1, 0, 0}, {1, 1, 0, 1}, {2, 1, 0, 1}, {3, 0, 1, 1}};
  EventSurvey survey;
  for (const SensorEvent& event : events) survey.Add(event);
  FrameBuilder builder({spec::FramesBy::kNumber, 1}, survey, 2);
  for (const SensorEvent& event : events) builder.Add(event);
  EXPECT_THAT(builder.counts(), ElementsAre(0, 1, 0, 0, 0, 2, 1, 0));
}

}  // namespace
}  // namespace bsnn::trainer
