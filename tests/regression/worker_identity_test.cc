// Who a worker is, over restarts and beside its clones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/support/temp_folder.h"
#include "worker/launcher/attempt_folder.h"

namespace bsnn::launcher {
namespace {

using testing::StartsWith;

TEST(WorkerIdentity, IsKeptInTheWorkFolderAndDiffersBetweenClones) {
  const test::TempFolder folder;
  uint64_t bits = 1;
  const base::RandomBits random = [&] { return bits++ * 0x9e3779b97f4a7c15; };
  std::string first;
  {
    const auto work = WorkFolder::Open(folder / "a");
    const auto identity = work->TakeIdentity("", "gpu-01", "run-1", random);
    ASSERT_TRUE(identity.ok()) << identity.status();
    EXPECT_THAT(identity->id, StartsWith("gpu-01-"));
    EXPECT_EQ(identity->replaces, "");
    first = identity->id;
  }
  {
    const auto work = WorkFolder::Open(folder / "a");
    const auto identity = work->TakeIdentity("", "gpu-01", "run-2", random);
    EXPECT_EQ(identity->id, first);
    EXPECT_EQ(identity->replaces, "run-1") << "the coordinator is to know it for the same worker";
  }
  const auto clone = WorkFolder::Open(folder / "b");
  EXPECT_NE(clone->TakeIdentity("", "gpu-01", "run-9", random)->id, first);
}

TEST(WorkerIdentity, AnotherIdReplacesNobody) {
  const test::TempFolder folder;
  const auto work = WorkFolder::Open(folder / "a");
  const base::RandomBits random = [] { return 7; };
  EXPECT_EQ(work->TakeIdentity("desk", "host", "run-1", random)->id, "desk");
  EXPECT_EQ(work->TakeIdentity("desk", "host", "run-2", random)->replaces, "run-1");
  EXPECT_EQ(work->TakeIdentity("other", "host", "run-3", random)->replaces, "");
}

}  // namespace
}  // namespace bsnn::launcher
