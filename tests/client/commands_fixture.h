/// Runs bsnnctl's commands in this process against the coordinator's services.
#pragma once

#include <algorithm>
#include <cstdio>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "client/commands/command.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::client {

struct Output {
  int code = -1;
  std::string out;
  std::string err;
};

/// Runs `action` with its standard output and error caught.
inline Output Catch(const std::function<int()>& action) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Output output;
  output.code = action();
  std::fflush(stdout);
  output.out = testing::internal::GetCapturedStdout();
  output.err = testing::internal::GetCapturedStderr();
  return output;
}

class CommandsTest : public api::ApiFixture {
 protected:
  CommandsTest() {
    context_.coordinator = address();
    context_.timeout_seconds = 60;
    context_.clock = &clock_;
    context_.stop = stop_.get_token();
  }

  /// As `bsnnctl WORDS...` would; 2 where they do not parse.
  Output Run(std::vector<std::string> words) {
    CLI::App app;
    Action action;
    for (const auto add : {AddSubmit, AddList, AddShow, AddWatch, AddLogs, AddMetrics, AddCancel,
                           AddDelete, AddCheckpoints, AddWorkers, AddVersion, AddCompletion}) {
      add(app, context_, action);
    }
    std::reverse(words.begin(), words.end());
    try {
      app.parse(words);
    } catch (const CLI::ParseError& error) {
      return {kUsage, "", error.what()};
    }
    return Catch(action);
  }

  Context context_;
  std::stop_source stop_;  ///< as Ctrl-C would
};

}  // namespace bsnn::client
