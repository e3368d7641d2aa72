#include "worker/launcher/trainer_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <thread>

#include "base/file.h"
#include "tests/worker/support/temp_folder.h"

namespace bsnn::launcher {
namespace {

using test::Read;
using testing::HasSubstr;

ProcessOptions Shell(const test::TempFolder& folder, const std::string& script) {
  return {.program = "/bin/sh",
          .arguments = {"-c", script},
          .environment = {"PATH=/usr/bin:/bin", "FOLDER=" + folder.path().string()},
          .output = folder / "log"};
}

/// Waits, without reaping, until the process has ended; false after 20 s.
bool WaitForEnd(pid_t pid) {
  base::FileDescriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!handle.valid()) return true;  // gone altogether
  pollfd poll{.fd = handle.get(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 20'000) == 1;
}

std::optional<ExitState> Reap(TrainerProcess& process) {
  EXPECT_TRUE(WaitForEnd(process.pid()));
  return process.TryReap();
}

/// Opens the fifo that a script writes to: returns when it has, with the line it wrote.
std::string ReadFifo(const std::filesystem::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

TEST(TrainerProcess, GivesItsExitStatusAndKeepsItsOutput) {
  test::TempFolder folder;
  auto process = TrainerProcess::Start(Shell(folder, "echo out; echo err >&2; exit 7"));
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(Reap(**process), (ExitState{.exit_code = 7}));
  EXPECT_EQ((*process)->TryReap(), (ExitState{.exit_code = 7}));
  EXPECT_EQ(Read(folder / "log"), "out\nerr\n");
}

TEST(TrainerProcess, GivesTheSignalThatEndedIt) {
  test::TempFolder folder;
  auto process = TrainerProcess::Start(Shell(folder, "kill -9 $$"));
  EXPECT_EQ(Reap(**process), (ExitState{.signal = SIGKILL}));
}

TEST(TrainerProcess, AProgramThatCannotRunIsAnErrorWithItsPath) {
  test::TempFolder folder;
  auto missing = TrainerProcess::Start(
      {.program = "/does/not/exist", .arguments = {}, .environment = {}, .output = folder / "log"});
  EXPECT_TRUE(absl::IsNotFound(missing.status())) << missing.status();
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/does/not/exist"));
  auto denied = TrainerProcess::Start(
      {.program = "/etc/passwd", .arguments = {}, .environment = {}, .output = folder / "log"});
  EXPECT_TRUE(absl::IsPermissionDenied(denied.status())) << denied.status();
}

TEST(TrainerProcess, SeesOnlyTheEnvironmentItIsGiven) {
  test::TempFolder folder;
  ::setenv("BSNN_TEST_LEAK", "1", 1);
  auto process = TrainerProcess::Start(Shell(folder, "echo \"$FOLDER|$BSNN_TEST_LEAK\""));
  EXPECT_EQ(Reap(**process), ExitState{});
  EXPECT_EQ(Read(folder / "log"), folder.path().string() + "|\n");
}

TEST(TrainerProcess, InheritsNoDescriptorAndNoBlockedSignal) {
  test::TempFolder folder;
  const base::FileDescriptor leak(::open("/dev/null", O_RDONLY));  // not close-on-exec
  sigset_t term, before;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &term, &before);
  auto process = TrainerProcess::Start(
      Shell(folder,
            "for n in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo leak $n; done; "
            "while read -r name value; do [ $name = SigBlk: ] && echo $name $value; done "
            "</proc/$$/status; exit 0"));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(Reap(**process), ExitState{});
  EXPECT_THAT(Read(folder / "log"), testing::MatchesRegex("SigBlk: 0*\n"));
}

TEST(TrainerProcess, KillEndsTheWholeGroup) {
  test::TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  auto process = TrainerProcess::Start(
      Shell(folder, "sleep 1000 & echo $! > $FOLDER/fifo; trap '' TERM; wait"));
  const std::string text = ReadFifo(folder / "fifo");
  pid_t grandchild = 0;
  std::from_chars(text.data(), text.data() + text.size(), grandchild);
  ASSERT_GT(grandchild, 0);
  (*process)->Kill();
  EXPECT_EQ(Reap(**process), (ExitState{.signal = SIGKILL}));
  EXPECT_TRUE(WaitForEnd(grandchild));
}

TEST(TrainerProcess, WhatItLeavesBehindDiesWithIt) {
  test::TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  auto process =
      TrainerProcess::Start(Shell(folder, "sleep 1000 & echo $! > $FOLDER/fifo; exit 0"));
  const std::string text = ReadFifo(folder / "fifo");
  pid_t grandchild = 0;
  std::from_chars(text.data(), text.data() + text.size(), grandchild);
  EXPECT_EQ(Reap(**process), ExitState{});
  EXPECT_TRUE(WaitForEnd(grandchild));
}

TEST(TrainerProcess, CanBeAskedToStop) {
  test::TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  auto process = TrainerProcess::Start(
      Shell(folder, "trap 'exit 3' TERM; echo ready > $FOLDER/fifo; sleep 1000 & wait"));
  EXPECT_EQ(ReadFifo(folder / "fifo"), "ready");
  EXPECT_EQ((*process)->TryReap(), std::nullopt);
  (*process)->AskToStop();
  EXPECT_EQ(Reap(**process), (ExitState{.exit_code = 3}));
}

TEST(TrainerProcess, DiesWithTheThreadThatStartedIt) {
  test::TempFolder folder;
  std::unique_ptr<TrainerProcess> process;
  std::thread starter(
      [&] { process = std::move(*TrainerProcess::Start(Shell(folder, "sleep 1000"))); });
  starter.join();
  EXPECT_EQ(Reap(*process), (ExitState{.signal = SIGKILL}));
}

TEST(TrainerProcess, TheDestructorLeavesNothingRunning) {
  test::TempFolder folder;
  pid_t pid = 0;
  {
    auto process = TrainerProcess::Start(Shell(folder, "trap '' TERM; sleep 1000"));
    pid = (*process)->pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

}  // namespace
}  // namespace bsnn::launcher
