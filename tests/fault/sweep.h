/// Runs a load again and again, each time with another system call failing.
#pragma once

#include <absl/status/status.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "tests/support/failing_calls/failing_calls.h"
#include "tests/worker/support/temp_folder.h"

namespace bsnn::test {

/// One run of a load: made anew for each call that fails.
class FaultRun {
 public:
  virtual ~FaultRun() = default;
  /// Before calls fail.
  virtual void Prepare(const std::filesystem::path&) {}
  /// What is done while a call fails. Must not throw or end the program.
  virtual void Do(const std::filesystem::path& folder) = 0;
  /// Once calls work again: what is true whatever failed.
  virtual void Check(const std::filesystem::path& folder) = 0;
};

/// Every way to fail, at every call of the load. `make` gives a run.
inline void Sweep(const std::function<std::unique_ptr<FaultRun>()>& make, int64_t calls_min) {
  using testing_support::FailingCalls;
  using testing_support::Failure;
  for (const Failure failure : {Failure::kIoError, Failure::kFullDisk, Failure::kShortWrite}) {
    int64_t calls = 0;
    for (int64_t number = 0; number <= calls; ++number) {  // 0: nothing fails, calls are counted
      SCOPED_TRACE("failure " + std::to_string(static_cast<int>(failure)) + " at call " +
                   std::to_string(number) + " of " + std::to_string(calls));
      const TempFolder folder;
      const std::unique_ptr<FaultRun> run = make();
      run->Prepare(folder.path());
      {
        const FailingCalls failing(folder.path(), failure, number);
        run->Do(folder.path());
        if (number == 0) calls = failing.calls();
      }
      run->Check(folder.path());
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_GE(calls, calls_min);
  }
}

/// Whether the error says in words what the disk did.
inline bool SaysWhatFailed(const absl::Status& status) {
  const std::string text(status.message());
  return text.find("Input/output error") != text.npos ||
         text.find("No space left on device") != text.npos;
}

}  // namespace bsnn::test
