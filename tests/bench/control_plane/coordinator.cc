#include "tests/bench/control_plane/coordinator.h"

#include <absl/time/clock.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "wire/channel.h"

namespace bsnn::bench {
namespace {

std::string FirstLine(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

/// Field `number` (from 1) of /proc/PID/stat behind the program's name.
int64_t StatField(pid_t pid, int number) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string text{std::istreambuf_iterator<char>(in), {}};
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string field;
  for (int i = 2; i < number; ++i) fields >> field;
  return std::stoll(field);
}

}  // namespace

Coordinator::Coordinator(const std::filesystem::path& program, const std::filesystem::path& data) {
  const auto address_file = data.parent_path() / "address";
  const auto metrics_file = data.parent_path() / "metrics-address";
  std::filesystem::remove(address_file);
  std::filesystem::remove(metrics_file);
  const absl::Time begin = absl::Now();
  pid_ = fork();
  if (pid_ == 0) {
    const int log = open((data.parent_path() / "log").c_str(), O_CREAT | O_APPEND | O_WRONLY, 0644);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execl(program.c_str(), program.c_str(), "--data", data.c_str(), "--listen", "127.0.0.1:0",
          "--metrics-listen", "127.0.0.1:0", "--address-file", address_file.c_str(),
          "--metrics-address-file", metrics_file.c_str(), nullptr);
    _exit(127);
  }
  while (!std::filesystem::exists(address_file)) {
    if (waitpid(pid_, nullptr, WNOHANG) != 0) {
      fmt::print(stderr, "{} ended; its log: {}\n", program.string(),
                 (data.parent_path() / "log").string());
      std::exit(1);
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
  start_time_ = absl::Now() - begin;
  absl::SleepFor(absl::Milliseconds(20));
  address_ = FirstLine(address_file);
  metrics_address_ = FirstLine(metrics_file);
}

Coordinator::~Coordinator() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::shared_ptr<grpc::Channel> Coordinator::NewChannel() const {
  return wire::MakeChannel(address_);
}

absl::Duration Coordinator::ProcessorTime() const {
  // Not utime of /proc/PID/stat: it is sampled by ticks, which short calls slip through.
  clockid_t clock = 0;
  timespec time = {};
  BSNN_CHECK(clock_getcpuclockid(pid_, &clock) == 0 && clock_gettime(clock, &time) == 0);
  return absl::DurationFromTimespec(time);
}

int64_t Coordinator::ResidentBytes() const { return StatField(pid_, 24) * getpagesize(); }

std::string Scrape(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  BSNN_CHECK(connect(connection, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  const std::string_view request = "GET /metrics HTTP/1.0\r\n\r\n";
  BSNN_CHECK(write(connection, request.data(), request.size()) ==
             static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[1 << 16];
  for (ssize_t count; (count = read(connection, buffer, sizeof buffer)) > 0;) {
    answer.append(buffer, static_cast<size_t>(count));
  }
  close(connection);
  return answer;
}

}  // namespace bsnn::bench
