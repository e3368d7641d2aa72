// Event recordings and their frames against the vectors in events/: FILE and FILE.json.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/golden/golden_file.h"
#include "worker/trainer/data/events/frames.h"
#include "worker/trainer/data/events/recording.h"

namespace bsnn::golden {
namespace {

using trainer::SensorEvent;

absl::Status Parse(const std::string& format, std::string_view content,
                   trainer::EventVisitor visit) {
  if (format == "nmnist") return trainer::ParseAtis(content, visit);
  if (format == "aedat2") return trainer::ParseAedat2(content, visit);
  if (format == "aedat3") return trainer::ParseAedat3(content, visit);
  return absl::InvalidArgumentError("no such format: " + format);
}

std::vector<uint32_t> Cut(const std::vector<SensorEvent>& events, const trainer::FrameCut& cut,
                          int32_t side) {
  trainer::EventSurvey survey;
  for (const SensorEvent& event : events) survey.Add(event);
  trainer::FrameBuilder builder(cut, survey, side);
  for (const SensorEvent& event : events) builder.Add(event);
  return builder.counts();
}

TEST(Golden, EventRecordingsReadAndCutIntoFrames) {
  const std::filesystem::path folder = std::filesystem::path(GoldenFolder()) / "events";
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no " << folder;
  int recordings = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    SCOPED_TRACE(entry.path());
    ++recordings;
    std::ifstream json_file(entry.path());
    const nlohmann::json expected = nlohmann::json::parse(json_file);
    std::ostringstream content;
    content << std::ifstream(folder / entry.path().stem(), std::ios::binary).rdbuf();
    std::vector<SensorEvent> events;
    const absl::Status parsed = Parse(expected.at("format"), content.view(),
                                      [&](const SensorEvent& event) { events.push_back(event); });
    ASSERT_TRUE(parsed.ok()) << parsed;
    ASSERT_EQ(events.size(), expected.at("events").size());
    for (size_t i = 0; i < events.size(); ++i) {
      const auto& e = expected.at("events")[i];
      ASSERT_EQ(events[i], (SensorEvent{e[0], e[1], e[2], e[3]})) << "event " << i;
    }
    const int32_t side = expected.at("width");
    for (const auto& [key, by] : {std::pair("frames_by_number", spec::FramesBy::kNumber),
                                  std::pair("frames_by_time", spec::FramesBy::kTime)}) {
      const auto& frames = expected.at(key);
      EXPECT_EQ(Cut(events, {by, frames.at("M")}, side),
                frames.at("counts").get<std::vector<uint32_t>>())
          << key;
    }
  }
  EXPECT_GT(recordings, 0) << folder;
}

}  // namespace
}  // namespace bsnn::golden
