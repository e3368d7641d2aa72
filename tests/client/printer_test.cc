#include "client/printers/printer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "bsnn/v1/job.pb.h"

namespace bsnn::client {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

v1::Job SomeJob() {
  v1::Job job;
  job.set_name("jobs/first");
  job.set_display_name("yes: \"no\"\n- #1 ü");
  job.set_state(v1::Job::RUNNING);
  job.set_restart_count(3);
  job.mutable_progress()->set_step(9007199254740993);
  job.mutable_progress()->set_progress_ratio(0.25);
  job.mutable_progress()->set_eta_seconds(kNaN);
  job.add_attempts()->set_epoch(1);
  job.add_attempts()->set_epoch(2);
  (*job.mutable_labels())["team"] = "007";
  return job;
}

TEST(PrintMessage, JsonHasTheProtosNamesAndReadsBack) {
  const std::string text = PrintMessage(SomeJob(), Format::kJson);
  EXPECT_TRUE(text.ends_with("}\n"));
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["name"], "jobs/first");
  EXPECT_EQ(json["display_name"], "yes: \"no\"\n- #1 ü");
  EXPECT_EQ(json["state"], "RUNNING");
  EXPECT_EQ(json["restart_count"], 3);
  EXPECT_EQ(json["progress"]["step"], "9007199254740993");
  EXPECT_EQ(json["progress"]["progress_ratio"], 0.25);
  EXPECT_EQ(json["progress"]["eta_seconds"], "NaN");
  EXPECT_EQ(json["attempts"].size(), 2u);
}

TEST(PrintMessage, YamlSaysWhatJsonSays) {
  const YAML::Node yaml = YAML::Load(PrintMessage(SomeJob(), Format::kYaml));
  EXPECT_EQ(yaml["name"].as<std::string>(), "jobs/first");
  EXPECT_EQ(yaml["display_name"].as<std::string>(), "yes: \"no\"\n- #1 ü");
  EXPECT_EQ(yaml["restart_count"].as<int>(), 3);
  EXPECT_EQ(yaml["progress"]["step"].as<std::string>(), "9007199254740993");
  EXPECT_EQ(yaml["progress"]["progress_ratio"].as<double>(), 0.25);
  EXPECT_EQ(yaml["attempts"][1]["epoch"].as<int>(), 2);
  EXPECT_EQ(yaml["labels"]["team"].as<std::string>(), "007");
  EXPECT_EQ(yaml["labels"]["team"].Tag(), "!");  // quoted: a text, not the number 7
}

TEST(PrintMessage, AnEmptyMessageIsAnEmptyDocument) {
  EXPECT_EQ(PrintMessage(v1::Job(), Format::kJson), "{}\n");
  EXPECT_EQ(YAML::Load(PrintMessage(v1::Job(), Format::kYaml)).size(), 0u);
}

TEST(PrintTable, ColumnsAreAsWideAsTheirWidestCellInCharacters) {
  EXPECT_EQ(PrintTable({"JOB", ">STEP", "NOTE"}, {{"ä", "7", ""}, {"first", "12345678", "x"}}),
            "JOB        STEP  NOTE\n"
            "ä             7\n"
            "first  12345678  x\n");
}

TEST(PrintTable, WithoutRowsThereIsTheHeader) {
  EXPECT_EQ(PrintTable({"JOB", ">AGE"}, {}), "JOB  AGE\n");
}

TEST(PrintCurve, GoesFromTheLowestToTheHighest) {
  EXPECT_EQ(PrintCurve({0, 1, 2, 3, 4, 5, 6, 7}, 40), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(PrintCurve({-3, 4}, 40), "▁█");
  EXPECT_EQ(PrintCurve({}, 40), "");
  EXPECT_EQ(PrintCurve({5, 5}, 40), "▅▅");
}

TEST(PrintCurve, ALongOneIsAveragedIntoItsWidth) {
  EXPECT_EQ(PrintCurve({0, 2, 6, 8}, 2), "▁█");
  EXPECT_EQ(PrintCurve({0, 0, 7, 7, 3, 4}, 3), "▁█▅");
  EXPECT_EQ(PrintCurve({4, 4, 4, 4, 4}, 2), "▅▅");  // 2 points and 3
  std::vector<double> many(1001, 1.0);
  many.back() = 1e6;
  EXPECT_EQ(PrintCurve(many, 10).size(), 10 * std::string("▁").size());
}

TEST(PrintCurve, WhatIsNotFiniteIsAQuestionMark) {
  EXPECT_EQ(PrintCurve({0, kNaN, 7, kInfinity}, 40), "▁?█?");
  EXPECT_EQ(PrintCurve({kNaN}, 40), "?");
}

TEST(PrintBar, IsFilledByItsRatio) {
  EXPECT_EQ(PrintBar(0.5, 4), "██░░  50.0 %");
  EXPECT_EQ(PrintBar(0, 4), "░░░░   0.0 %");
  EXPECT_EQ(PrintBar(1, 4), "████ 100.0 %");
  EXPECT_EQ(PrintBar(0.999, 4), "███░  99.9 %");  // full only at the end
}

TEST(PrintBar, StaysInItsWidth) {
  EXPECT_EQ(PrintBar(7, 4), "████ 100.0 %");
  EXPECT_EQ(PrintBar(-1, 4), "░░░░   0.0 %");
  EXPECT_EQ(PrintBar(kNaN, 4), "░░░░   0.0 %");
}

TEST(PrintDuration, UsesTheTwoLargestUnits) {
  EXPECT_EQ(PrintDuration(0), "0 s");
  EXPECT_EQ(PrintDuration(59.4), "59 s");
  EXPECT_EQ(PrintDuration(59.6), "1 min 00 s");
  EXPECT_EQ(PrintDuration(125), "2 min 05 s");
  EXPECT_EQ(PrintDuration(3599), "59 min 59 s");
  EXPECT_EQ(PrintDuration(3720), "1 h 02 min");
  EXPECT_EQ(PrintDuration(360'000), "100 h 00 min");
  for (const double none : {kNaN, kInfinity, -1.0, 2e9}) EXPECT_EQ(PrintDuration(none), "-");
}

TEST(PrintAge, IsTheTimeSince) {
  google::protobuf::Timestamp time;
  EXPECT_EQ(PrintAge(time, absl::FromUnixSeconds(100)), "-");
  time.set_seconds(40);
  EXPECT_EQ(PrintAge(time, absl::FromUnixSeconds(100)), "1 min 00 s");
  EXPECT_EQ(PrintAge(time, absl::FromUnixSeconds(30)), "0 s");  // the other clock is ahead
}

TEST(PrintBytes, UsesBinaryUnits) {
  EXPECT_EQ(PrintBytes(1023), "1023 B");
  EXPECT_EQ(PrintBytes(1024), "1.0 KiB");
  EXPECT_EQ(PrintBytes(1'258'291), "1.2 MiB");
  EXPECT_EQ(PrintBytes(int64_t{3} << 50), "3072.0 TiB");
}

TEST(PrintRatio, IsInPercent) {
  EXPECT_EQ(PrintRatio(0.98123), "98.12 %");
  EXPECT_EQ(PrintRatio(kNaN), "-");
}

TEST(PrintNumber, ReadsBackAsTheSameDouble) {
  for (const double value : {0.1, 1.0 / 3, 1e-300, 12345678.9}) {
    EXPECT_EQ(std::stod(PrintNumber(value)), value);
  }
}

}  // namespace
}  // namespace bsnn::client
