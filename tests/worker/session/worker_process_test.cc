/// The program itself: signals, and what its death leaves behind.
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/worker/session/worker_fixture.h"

namespace bsnn::test {
namespace {

using testing::HasSubstr;

/// Waits, without reaping, until the process has ended; false after 30 s.
bool WaitForEnd(pid_t pid) {
  base::FileDescriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!handle.valid()) return true;
  pollfd poll{.fd = handle.get(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 30'000) == 1;
}

class WorkerProgram : public WorkerTest {
 protected:
  void StartProgram(const std::vector<std::string>& more = {}) {
    launcher::ProcessOptions options{
        .program = BSNN_WORKER,
        .arguments = {"--coordinator", coordinator_.address(), "--id", "worker-a", "--data",
                      (folder_ / "data").string(), "--work", (folder_ / "work").string(),
                      "--trainer", BSNN_FAKE_TRAINER, "--device", "cpu"},
        .environment = {"PATH=/usr/local/bin:/usr/bin:/bin"},
        .output = folder_ / "worker.log"};
    options.arguments.insert(options.arguments.end(), more.begin(), more.end());
    auto started = launcher::TrainerProcess::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    program_ = *std::move(started);
  }
  launcher::ExitState WaitForExit() {
    EXPECT_TRUE(WaitForEnd(program_->pid()));
    return program_->TryReap().value_or(launcher::ExitState{.exit_code = -1});
  }
  pid_t TrainerPid() { return std::stoi(Read(folder_ / "data/pid")); }

  std::unique_ptr<launcher::TrainerProcess> program_;
};

TEST_F(WorkerProgram, SigtermDrainsAndExitsWithZero) {
  Plan("pid pid\nlog started\nwait never\n");
  Order({RunOrder("job-a")});
  StartProgram();
  ASSERT_TRUE(WaitForLog("started"));
  program_->AskToStop();
  EXPECT_EQ(WaitForExit(), launcher::ExitState{}) << Read(folder_ / "worker.log");
  EXPECT_EQ(Finished().outcome, spec::Outcome::kStopped);
  EXPECT_TRUE(WaitForEnd(TrainerPid()));
}

TEST_F(WorkerProgram, ASecondSigtermEndsItAtOnce) {
  Plan("pid pid\nignore-term\nlog started\nwait never\n");
  Order({RunOrder("job-a")});
  StartProgram({"--drain-seconds", "3600"});
  ASSERT_TRUE(WaitForLog("started"));
  program_->AskToStop();
  ASSERT_TRUE(coordinator_.WaitFor([](const FakeState& state) { return state.draining; }));
  program_->AskToStop();
  EXPECT_EQ(WaitForExit(), (launcher::ExitState{.exit_code = 1})) << Read(folder_ / "worker.log");
  EXPECT_TRUE(WaitForEnd(TrainerPid()));
}

TEST_F(WorkerProgram, SigkillTakesTheTrainerAlongAndTheNextStartSweeps) {
  Plan("pid pid\nlog started\nwait never\n");
  Order({RunOrder("job-a")});
  StartProgram();
  ASSERT_TRUE(WaitForLog("started"));
  const pid_t trainer = TrainerPid();
  const std::string incarnation =
      coordinator_.With([](FakeState& state) { return state.registration.incarnation(); });
  ::kill(program_->pid(), SIGKILL);
  EXPECT_EQ(WaitForExit(), (launcher::ExitState{.signal = SIGKILL}));
  EXPECT_TRUE(WaitForEnd(trainer));
  EXPECT_TRUE(HasFile("work/attempts/job-a.1"));
  Order({});
  StartProgram();
  ASSERT_TRUE(
      coordinator_.WaitFor([](const FakeState& state) { return state.registrations == 2; }));
  EXPECT_FALSE(HasFile("work/attempts/job-a.1"));
  EXPECT_NE(incarnation,
            coordinator_.With([](FakeState& state) { return state.registration.incarnation(); }));
}

TEST_F(WorkerProgram, ASecondWorkerInTheSameFolderRefusesToStart) {
  StartProgram();
  ASSERT_TRUE(
      coordinator_.WaitFor([](const FakeState& state) { return state.registrations == 1; }));
  const auto first = std::move(program_);
  StartProgram();
  EXPECT_EQ(WaitForExit(), (launcher::ExitState{.exit_code = 1}));
  EXPECT_THAT(Read(folder_ / "worker.log"), HasSubstr("in use by another worker"));
}

TEST_F(WorkerProgram, AWrongKnobExitsWithTwoAndNamesIt) {
  StartProgram({"--cpu-slots", "0"});
  EXPECT_EQ(WaitForExit(), (launcher::ExitState{.exit_code = 2}));
  EXPECT_THAT(Read(folder_ / "worker.log"), HasSubstr("--cpu-slots"));
}

}  // namespace
}  // namespace bsnn::test
