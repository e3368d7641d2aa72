#include "worker/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace bsnn::worker {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() { std::filesystem::create_directories(folder_); }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  /// With the knobs that have no default.
  Parsed Parse(std::vector<std::string> more, const std::vector<std::string>& environment = {}) {
    std::vector<std::string> arguments = {"--data",    folder_.string(),
                                          "--work",    (folder_ / "work").string(),
                                          "--trainer", "/bin/true"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ParseConfig(arguments, environment, "/opt/bsnn/bin/bsnn-worker", "Host.Example");
  }
  std::string File(const std::string& text) {
    const auto path = folder_ / "worker.toml";
    std::ofstream(path) << text;
    return path.string();
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      ("config_test." + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ConfigTest, DefaultsStandWhereNothingIsSaid) {
  const Parsed parsed = Parse({});
  ASSERT_FALSE(parsed.exit) << parsed.text;
  EXPECT_EQ(parsed.config.coordinator, "127.0.0.1:7070");
  EXPECT_EQ(parsed.config.id, "host-example");
  EXPECT_EQ(parsed.config.cpu_slots, 1);
  EXPECT_EQ(parsed.config.drain_seconds, 60);
}

TEST_F(ConfigTest, TheCommandLineWinsOverTheEnvironmentAndThatOverTheFile) {
  const std::string file = File("cpu-slots = 2\ndrain-seconds = 7\nid = \"from-file\"\n");
  const Parsed parsed =
      Parse({"--config", file, "--cpu-slots", "4"},
            {"BSNN_WORKER_CPU_SLOTS=3", "BSNN_WORKER_DRAIN_SECONDS=8", "HOME=/root"});
  ASSERT_FALSE(parsed.exit) << parsed.text;
  EXPECT_EQ(parsed.config.cpu_slots, 4);
  EXPECT_EQ(parsed.config.drain_seconds, 8);
  EXPECT_EQ(parsed.config.id, "from-file");
}

TEST_F(ConfigTest, AMistakeStopsTheStartAndNamesTheKnob) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--cpu-slots", "65"}, "--cpu-slots"},
      {{"--cpu-slots", "x"}, "--cpu-slots"},
      {{"--drain-seconds=0"}, "--drain-seconds"},
      {{"--device", "tpu"}, "--device"},
      {{"--id", "Not An Id"}, "--id"},
      {{"--unknown", "1"}, "--unknown"},
      {{"--data", "/does/not/exist"}, "--data"},
      {{"--trainer", "/etc/passwd"}, "--trainer"},
      {{"--log-level", "loud"}, "--log-level"},
      {{"--coordinator", ""}, "--coordinator"},
      {{"--config", "/does/not/exist"}, "exist"},
  };
  for (const auto& [arguments, knob] : cases) {
    // A knob given twice takes the last one only where the option says so; give it once.
    std::vector<std::string> all;
    const bool data = arguments[0] == "--data";
    const bool trainer = arguments[0] == "--trainer";
    if (!data) all.insert(all.end(), {"--data", folder_.string()});
    if (!trainer) all.insert(all.end(), {"--trainer", "/bin/true"});
    all.insert(all.end(), {"--work", (folder_ / "work").string()});
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Parsed parsed = ParseConfig(all, {}, "/bin/x", "host");
    EXPECT_TRUE(parsed.exit) << knob;
    EXPECT_EQ(parsed.exit_code, 2) << knob;
    EXPECT_THAT(parsed.text, HasSubstr(knob));
  }
}

TEST_F(ConfigTest, UnknownNamesInTheEnvironmentAndTheFileAreMistakes) {
  const Parsed environment = Parse({}, {"BSNN_WORKER_CPU_SLOT=3"});
  EXPECT_EQ(environment.exit_code, 2);
  EXPECT_THAT(environment.text, HasSubstr("BSNN_WORKER_CPU_SLOT"));
  const Parsed file = Parse({"--config", File("cpu-slot = 2\n")});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.text, HasSubstr("cpu-slot"));
}

TEST_F(ConfigTest, TrainersInheritTheEnvironmentButForTheWorkersOwn) {
  const Parsed parsed =
      Parse({}, {"PATH=/bin", "BSNN_WORKER_CPU_SLOTS=2", "CUDA_VISIBLE_DEVICES=1"});
  ASSERT_FALSE(parsed.exit) << parsed.text;
  EXPECT_THAT(parsed.config.environment, Contains("PATH=/bin"));
  EXPECT_EQ(parsed.config.environment.size(), 1);
  EXPECT_EQ(parsed.config.cuda_visible_devices, "1");
  EXPECT_TRUE(parsed.config.cuda_visible_devices_is_set);
}

TEST_F(ConfigTest, HelpHasExamplesAndExitsWithZero) {
  const Parsed parsed = ParseConfig({"--help"}, {}, "/bin/x", "host");
  EXPECT_TRUE(parsed.exit);
  EXPECT_EQ(parsed.exit_code, 0);
  EXPECT_THAT(parsed.text, HasSubstr("Examples:"));
}

TEST_F(ConfigTest, AnIdIsMadeOfAnyHostname) {
  EXPECT_EQ(IdOfHostname("GPU_01.lab"), "gpu-01-lab");
  EXPECT_EQ(IdOfHostname(""), "worker");
  EXPECT_EQ(IdOfHostname(std::string(80, 'A')).size(), 63);
}

}  // namespace
}  // namespace bsnn::worker
