#include "spec/event.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/fault.h"

namespace bsnn::spec {
namespace {

const absl::Time kTime = absl::FromUnixMicros(1'700'000'000'123'456);

std::vector<Event> EveryKind() {
  return {
      {1, kTime, Started{"cpu", 2, 100, 90, 938, 2814, 0}},
      {2, kTime, Progress{20, 2814, 1, 3, 1500.25, 117.5}},
      {3, kTime, MetricPoint{"sign_flip_ratio", "conv2", "", -1, 938, 1, 0.1 + 0.2}},
      {4, kTime,
       MetricPoint{"loss", "", "train", -1, 20, 1, -std::numeric_limits<double>::infinity()}},
      {5, kTime,
       CheckpointWritten{938, 1, "checkpoints/step-00000938", std::string(64, 'a'), 123456, 0.97}},
      {6, kTime, LogLine{Severity::kWarning, "tab\t \"quote\" \xC3\xA4"}},
      {7, kTime, Finished{Outcome::kFailed, 938, 0.5, "", TrainerFailure::kUserError, "why"}}};
}

TEST(Event, EveryKindSurvivesItsLine) {
  for (const Event& event : EveryKind()) {
    const std::string line = ToJsonLine(event);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto parsed = ParseEventLine(line);
    ASSERT_TRUE(parsed.ok()) << line << parsed.status();
    EXPECT_EQ(*parsed, event) << line;
  }
}

TEST(Event, NanSurvives) {
  const auto parsed = ParseEventLine(
      ToJsonLine({1, kTime, MetricPoint{"loss", "", "train", -1, 1, 1, std::nan("")}}));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(std::isnan(std::get<MetricPoint>(parsed->kind).value));
}

// Frozen: workers and trainers of different versions meet over these lines.
TEST(Event, LinesKeepTheirForm) {
  EXPECT_EQ(ToJsonLine(EveryKind()[1]),
            R"({"epoch":1,"epochs_total":3,"eta_seconds":117.5,"images_per_second":1500.25,)"
            R"("sequence":2,"step":20,"steps_total":2814,"time":"2023-11-14T22:13:20.123456Z",)"
            R"("type":"progress"})");
}

TEST(Event, BrokenLinesNameTheField) {
  const std::string good = ToJsonLine(EveryKind()[2]);
  const auto field_of = [](const std::string& line) {
    const auto faults = base::FaultsOf(ParseEventLine(line).status());
    return faults.empty() ? std::string("none") : faults[0].field;
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string line = good;
    line.replace(line.find(from), from.size(), to);
    return line;
  };
  EXPECT_EQ(field_of("not json"), "event");
  EXPECT_EQ(field_of("[1]"), "event");
  EXPECT_EQ(field_of(with("\"step\":938", "\"step\":-7")), "event.step");
  EXPECT_EQ(field_of(with("\"step\":938", "\"step\":1e3")), "event.step");
  EXPECT_EQ(field_of(with("\"type\":\"metric\"", "\"type\":\"other\"")), "event.type");
  EXPECT_EQ(field_of(with("\"layer\":\"conv2\"", "\"layer\":[]")), "event.layer");
  EXPECT_EQ(field_of(with("\"time\":\"2", "\"time\":\"x2")), "event.time");
  EXPECT_EQ(field_of(with("\"epoch\":1", "\"epoch\":99999999999")), "event.epoch");
  EXPECT_EQ(ParseEventLine(std::string(100'000, '{')).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Event, EveryTruncationOfALineIsRefused) {
  for (const Event& event : EveryKind()) {
    const std::string line = ToJsonLine(event);
    for (size_t size = 0; size < line.size(); ++size) {
      EXPECT_FALSE(ParseEventLine(std::string_view(line).substr(0, size)).ok());
    }
  }
}

}  // namespace
}  // namespace bsnn::spec
