#include "server/config/config.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace bsnn::server {
namespace {

using testing::HasSubstr;

absl::StatusOr<Invocation> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "bsnn-coordinator");
  return ParseArguments(static_cast<int>(arguments.size()), arguments.data());
}

/// Sets an environment variable for the time of a test.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Environment() { ::unsetenv(name_); }

 private:
  const char* name_;
};

class ConfigFile : public testing::Test {
 protected:
  ConfigFile() : path_(std::filesystem::path(testing::TempDir()) / "XXXXXX") {
    std::string text = path_.string();
    EXPECT_NE(::mkdtemp(text.data()), nullptr);
    path_ = std::filesystem::path(text) / "coordinator.toml";
  }
  ~ConfigFile() override { std::filesystem::remove_all(path_.parent_path()); }
  std::string Write(const std::string& content) {
    std::ofstream(path_) << content;
    return path_.string();
  }

  std::filesystem::path path_;
};

TEST(Config, DefaultsHoldWithTheDataFolderAlone) {
  const auto invocation = Parse({"--data", "d"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_FALSE(invocation->exit_now);
  EXPECT_EQ(invocation->config.data, "d");
  EXPECT_EQ(invocation->config.listen, "127.0.0.1:7070");
  EXPECT_EQ(invocation->config.lease_seconds, 15);
  EXPECT_FALSE(invocation->config.require_deadline);
}

TEST(Config, WhatIsWrongIsNamed) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
      {{}, "--data"},
      {{"--data", "d", "--leese-seconds", "3"}, "--leese-seconds"},
      {{"--data", "d", "--lease-seconds", "0"}, "--lease-seconds"},
      {{"--data", "d", "--lease-seconds", "nan"}, "--lease-seconds"},
      {{"--data", "d", "--lease-seconds", "soon"}, "--lease-seconds"},
      {{"--data", "d", "--disk-threads", "65"}, "--disk-threads"},
      {{"--data", "d", "--log-level", "loud"}, "--log-level"},
      {{"--data", "d", "--next-call-seconds", "20"}, "--lease-seconds"},
      {{"--data", "d", "--listen", "0.0.0.0:7070"}, "--listen"},
      {{"--data", "d", "--metrics-listen", "0.0.0.0:1"}, "--metrics-listen"},
      {{"--data", "d", "stray"}, "stray"}};
  for (const auto& [arguments, named] : cases) {
    const auto invocation = Parse(arguments);
    EXPECT_EQ(invocation.status().code(), absl::StatusCode::kInvalidArgument) << named;
    EXPECT_THAT(std::string(invocation.status().message()), HasSubstr(named));
  }
}

TEST(Config, ANetworkListenerMustBeAllowed) {
  EXPECT_TRUE(Parse({"--data", "d", "--listen", "0.0.0.0:7070", "--allow-insecure-network"}).ok());
  for (const char* address : {"127.0.0.1:0", "127.9.9.9:1", "localhost:1", "[::1]:1", "unix:/a"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:0", "[::]:1", "127.evil.example:1", "host:1", "1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST_F(ConfigFile, FlagWinsOverEnvironmentOverFile) {
  const std::string path = Write(
      "data = \"f\"\nlease-seconds = 20\ndisk-threads = 3\n"
      "streams-max = 7\nrequire-deadline = true\n");
  Environment lease("BSNN_COORDINATOR_LEASE_SECONDS", "30");
  Environment threads("BSNN_COORDINATOR_DISK_THREADS", "5");
  const auto invocation = Parse({"--config", path.c_str(), "--disk-threads", "9"});
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->config.data, "f");
  EXPECT_EQ(invocation->config.lease_seconds, 30);
  EXPECT_EQ(invocation->config.disk_threads, 9);
  EXPECT_EQ(invocation->config.streams_max, 7);
  EXPECT_TRUE(invocation->config.require_deadline);
}

TEST_F(ConfigFile, AnUnknownKeyOrAMissingFileStopsTheStart) {
  const std::string path = Write("data = \"f\"\nlease-secondss = 20\n");
  EXPECT_THAT(std::string(Parse({"--config", path.c_str()}).status().message()),
              HasSubstr("lease-secondss"));
  const std::string section = Write("data = \"f\"\n[metrics]\nlisten = \"x\"\n");
  EXPECT_THAT(std::string(Parse({"--config", section.c_str()}).status().message()),
              HasSubstr("metrics"));
  EXPECT_THAT(std::string(Parse({"--config", "/nowhere/at-all"}).status().message()),
              HasSubstr("/nowhere/at-all"));
}

TEST_F(ConfigFile, AWrongVariableIsNamed) {
  Environment lease("BSNN_COORDINATOR_LEASE_SECONDS", "-1");
  EXPECT_THAT(std::string(Parse({"--data", "d"}).status().message()),
              HasSubstr("BSNN_COORDINATOR_LEASE_SECONDS"));
}

TEST_F(ConfigFile, ThePrintedConfigurationCanBeReadBack) {
  const auto printed =
      Parse({"--data", "d", "--lease-seconds", "17.25", "--require-deadline", "--print-config"});
  ASSERT_TRUE(printed.ok()) << printed.status();
  EXPECT_TRUE(printed->exit_now);
  const std::string path = Write(printed->text);
  const auto back = Parse({"--config", path.c_str()});
  ASSERT_TRUE(back.ok()) << back.status() << "\n" << printed->text;
  EXPECT_EQ(back->config.lease_seconds, 17.25);
  EXPECT_TRUE(back->config.require_deadline);
  EXPECT_EQ(back->config.metrics_listen, "127.0.0.1:9464");
}

TEST(Config, HelpAndVersionExit) {
  const auto help = Parse({"--help"});
  ASSERT_TRUE(help.ok() && help->exit_now);
  EXPECT_THAT(help->text, HasSubstr("Examples:"));
  EXPECT_THAT(help->text, HasSubstr("--metrics-finished-job-retention-seconds"));
  const auto version = Parse({"--version"});
  ASSERT_TRUE(version.ok() && version->exit_now);
  EXPECT_THAT(version->text, HasSubstr("bsnn-coordinator 0."));
}

}  // namespace
}  // namespace bsnn::server
