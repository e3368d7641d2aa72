#include "worker/launcher/trainer_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/status.h"

namespace bsnn::launcher {
namespace {

constexpr int kErrorDescriptor = 3;

/// Everything the child needs, made before fork: after it only async-signal-safe calls.
struct Child {
  std::vector<char*> arguments;
  std::vector<char*> environment;
  const char* program;
  int input;
  int output;
  int error;
  pid_t parent;
};

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void FailChild(int error) {
  const int number = errno;
  [[maybe_unused]] const ssize_t written = ::write(error, &number, sizeof number);
  ::_exit(127);
}

/// Where memory runs out, the kernel is to end trainers, one by one, before the worker: with it all
/// of them would end.
void OfferToOomKiller() {
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(file, "1000", 4);
  ::close(file);
}

[[noreturn]] void RunChild(const Child& child) {
  ::setpgid(0, 0);
  OfferToOomKiller();
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) FailChild(child.error);
  // The parent may have died before prctl; its death is then never signalled.
  if (::getppid() != child.parent) ::_exit(127);
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::dup2(child.input, 0) < 0 || ::dup2(child.output, 1) < 0 || ::dup2(child.output, 2) < 0) {
    FailChild(child.error);
  }
  // The descriptors come with F_DUPFD_CLOEXEC above 3, so this cannot overwrite one in use.
  if (::dup3(child.error, kErrorDescriptor, O_CLOEXEC) < 0) FailChild(child.error);
  ::close_range(kErrorDescriptor + 1, ~0U, 0);
  ::execve(child.program, child.arguments.data(), child.environment.data());
  FailChild(kErrorDescriptor);
}

/// `descriptor` moved to a number above 3.
absl::StatusOr<base::FileDescriptor> Raised(base::FileDescriptor descriptor) {
  if (!descriptor.valid()) return absl::ErrnoToStatus(errno, "cannot open a descriptor");
  base::FileDescriptor raised(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, kErrorDescriptor + 1));
  if (!raised.valid()) return absl::ErrnoToStatus(errno, "cannot open a descriptor");
  return raised;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerProcess>> TrainerProcess::Start(
    const ProcessOptions& options) {
  base::FileDescriptor log(
      ::open(options.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log.valid()) return base::ErrnoStatus(errno, "cannot open", options.output);
  ASSIGN_OR_RETURN(const base::FileDescriptor output, Raised(std::move(log)));
  ASSIGN_OR_RETURN(const base::FileDescriptor input,
                   Raised(base::FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC))));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");
  base::FileDescriptor read_end(ends[0]);
  ASSIGN_OR_RETURN(base::FileDescriptor write_end, Raised(base::FileDescriptor(ends[1])));

  std::vector<std::string> arguments = {options.program.string()};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  const Child child{.arguments = Pointers(arguments),
                    .environment = Pointers(options.environment),
                    .program = options.program.c_str(),
                    .input = input.get(),
                    .output = output.get(),
                    .error = write_end.get(),
                    .parent = ::getpid()};
  const pid_t pid = ::fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, "cannot start a process");
  if (pid == 0) RunChild(child);
  RETURN_IF_ERROR(write_end.Close());
  // Ends without a byte when exec has closed the other end.
  int number = 0;
  ssize_t count = 0;
  do {
    count = ::read(read_end.get(), &number, sizeof number);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(sizeof number)) {
    ::waitpid(pid, nullptr, 0);
    return base::ErrnoStatus(number, "cannot start the trainer", options.program);
  }
  return std::unique_ptr<TrainerProcess>(new TrainerProcess(pid));
}

TrainerProcess::~TrainerProcess() {
  Kill();
  const absl::MutexLock lock(&mutex_);
  if (exit_) return;
  siginfo_t info = {};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

void TrainerProcess::AskToStop() {
  const absl::MutexLock lock(&mutex_);
  if (!exit_) ::kill(pid_, SIGTERM);
}

void TrainerProcess::Kill() {
  const absl::MutexLock lock(&mutex_);
  if (!exit_) SignalGroup(SIGKILL);
}

void TrainerProcess::SignalGroup(int signal) {
  // The group is its own from before exec, and Start returns after exec.
  ::kill(-pid_, signal);
}

std::optional<ExitState> TrainerProcess::TryReap() {
  const absl::MutexLock lock(&mutex_);
  if (exit_) return exit_;
  siginfo_t info = {};
  // Left as a zombie first: its pid, which names the group, cannot be reused before the group dies.
  const int got = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
  if (got != 0 || info.si_pid == 0) return std::nullopt;
  SignalGroup(SIGKILL);
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
  exit_ = info.si_code == CLD_EXITED ? ExitState{.exit_code = info.si_status}
                                     : ExitState{.signal = info.si_status};
  return exit_;
}

}  // namespace bsnn::launcher
