#include "worker/trainer/nn/threads.h"

#include <unistd.h>

#include <array>
#include <cstdlib>

namespace bsnn::trainer {

void RestartWithYieldingThreads(char* const* arguments) {
  // The one place beside config.cc that looks at the environment: it belongs to libgomp, not to us.
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (setenv("GOMP_SPINCOUNT", "1000", /*overwrite=*/0) != 0) return;
  // By its real path, so that the process keeps its name.
  std::array<char, 4096> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length > 0) execv(path.data(), arguments);
}

}  // namespace bsnn::trainer
