#include "worker/trainer/nn/threads.h"

#include <unistd.h>

#include <array>
#include <cstdlib>

namespace bsnn::trainer {

namespace {

constexpr const char* kKeepMemory =
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:"
    "glibc.malloc.top_pad=67108864:glibc.malloc.hugetlb=1";

bool SetWhereUnset(const char* name, const char* value) {
  return std::getenv(name) == nullptr && setenv(name, value, /*overwrite=*/0) == 0;
}

}  // namespace

void RestartWithTunedRuntime(char* const* arguments) {
  // The one place beside config.cc that looks at the environment: it belongs to libgomp and to
  // glibc, not to us.
  bool changed = SetWhereUnset("GLIBC_TUNABLES", kKeepMemory);
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) changed |= SetWhereUnset("GOMP_SPINCOUNT", "1000");
  if (!changed) return;
  // By its real path, so that the process keeps its name.
  std::array<char, 4096> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length > 0) execv(path.data(), arguments);
}

}  // namespace bsnn::trainer
