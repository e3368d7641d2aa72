#include "worker/trainer/nn/threads.h"

#include <unistd.h>

#include <cstdlib>

namespace bsnn::trainer {

void RestartWithYieldingThreads(char* const* arguments) {
  // The one place beside config.cc that looks at the environment: it belongs to libgomp, not to us.
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (setenv("GOMP_SPINCOUNT", "1000", /*overwrite=*/0) != 0) return;
  execv("/proc/self/exe", arguments);
}

}  // namespace bsnn::trainer
