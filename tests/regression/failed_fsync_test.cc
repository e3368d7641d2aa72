// Seen: a checkpoint whose fsync had failed was published at the next try. Wrong: the staged file
// stayed; the second fsync succeeds, for the kernel has dropped the pages that the first one lost.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "artifact/digest.h"
#include "blob/file/file_blob_store.h"
#include "tests/worker/support/temp_folder.h"

namespace {
thread_local bool fail_next_fsync = false;
}

// Takes the place of libc's in this program.
extern "C" int fsync(int descriptor) {
  if (fail_next_fsync) {
    fail_next_fsync = false;
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

namespace bsnn::blob {
namespace {

TEST(FailedFsync, LeavesNothingThatASecondTryCouldPublish) {
  test::TempFolder folder;
  const auto blobs = *FileBlobStore::Make(folder / "blobs");
  const Key key = *Key::Parse("job/checkpoint/model");
  ASSERT_TRUE(blobs->Append(key, 0, "abc").ok());
  fail_next_fsync = true;
  const absl::Status status = blobs->Commit(key, 3, artifact::Sha256Hex("abc"));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(*blobs->StagedSize(key), 0u);
  ASSERT_TRUE(blobs->Append(key, 0, "abc").ok());
  EXPECT_TRUE(blobs->Commit(key, 3, artifact::Sha256Hex("abc")).ok());
}

}  // namespace
}  // namespace bsnn::blob
